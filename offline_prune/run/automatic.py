"""sparsity="auto": the sparsest agent that is shown to keep the dense agent's score."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from offline_prune.base.arguments import finite_number
from offline_prune.base.as_json import as_json
from offline_prune.base.digest import digest_of
from offline_prune.data import Dataset, load_dataset
from offline_prune.errors import InputError
from offline_prune.evaluation.statistics import ratio_to_dense
from offline_prune.masks.mask import Mask
from offline_prune.request.requests import TrainingRequest
from offline_prune.request.setting import values
from offline_prune.run.checkpoint import contents_of
from offline_prune.run.choices import check_alone
from offline_prune.run.result import PruneResult
from offline_prune.run.saving import keep
from offline_prune.run.search import Candidate, SparsitySearch

__all__ = ["LADDER", "check_retain", "choose_sparsity", "wants_search"]

LADDER = (0.8, 0.9, 0.95, 0.98, 0.99)
"""Sparsities that are tried, from the first on, until one is not accepted."""

DEFAULT_RETAIN, DEFAULT_SEEDS, LEVEL = 0.97, 5, 0.95
_NOT_PART_OF_IT = ("dataset", "output_dir", "checkpoint_dir", "keep_checkpoint", "progress")

Run = Callable[[TrainingRequest], PruneResult]


def wants_search(request: TrainingRequest) -> bool:
    """Whether a request leaves the sparsity open.

    Args:
        request: The request.

    Returns:
        True for ``sparsity="auto"``.

    Raises:
        InputError: If settings of the search are given and the sparsity too.
    """
    if isinstance(request.sparsity, str) and request.sparsity == "auto":
        return True
    for name in ("retain", "max_sparsity", "search_seeds"):
        if getattr(request, name) is not None:
            raise InputError(
                f"{name}={getattr(request, name)!r} says how a sparsity is chosen, and this one"
                " is given. Ask for sparsity='auto', or leave it out."
            )
    return False


def choose_sparsity(request: TrainingRequest, run: Run) -> PruneResult:
    """Train dense and ever sparser agents of the same seeds until the score suffers.

    A sparsity of :data:`LADDER` is accepted while the lower end of the interval of the
    paired ratio to the dense agents stays at or above ``retain``; the first that is not
    ends the search. The last accepted one is trained again, beside dense agents, on as
    many seeds that the search has not seen.

    Args:
        request: With ``sparsity="auto"``.
        run: Trains a request whose sparsity is a number.

    Returns:
        The agent of the request's own seed at the chosen sparsity, with
        :attr:`~offline_prune.run.result.PruneResult.search`; the dense one where none was
        accepted. Saved where it was asked for; the state of the search is removed then.

    Raises:
        InputError: If the request is of a mask, of no episodes, or of a dataset whose
            environment cannot be run here; or if the dense agent learns nothing.
        UnsavedResultError: If it could not be saved; the state stays.
    """
    request = replace(check_alone(replace(request, sparsity=LADDER[0])), sparsity="auto")
    _check(request)
    data = load_dataset(request.dataset)
    retain = DEFAULT_RETAIN if request.retain is None else request.retain
    most = LADDER[-1] if request.max_sparsity is None else request.max_sparsity
    count = DEFAULT_SEEDS if request.search_seeds is None else request.search_seeds
    folder = _folder(request, data)
    trials = _Trials(replace(request, dataset=data), data, run, folder)
    seeds = tuple(range(request.seed, request.seed + count))
    further = tuple(range(request.seed + count, request.seed + 2 * count))
    candidates: list[Candidate] = []
    for sparsity in sorted({*(s for s in LADDER if s <= most), most}):
        candidates.append(trials.beside_dense(sparsity, seeds, retain))
        if not candidates[-1].accepted:
            break
    accepted = [candidate.sparsity for candidate in candidates if candidate.accepted]
    chosen = max(accepted, default=0.0)
    confirmed = trials.beside_dense(chosen, further, retain) if accepted else None
    search = SparsitySearch(
        retain=retain,
        level=LEVEL,
        unit=trials.unit,
        candidates=tuple(candidates),
        chosen=chosen,
        confirmed=confirmed,
        seeds=seeds,
        episodes=trials.episodes,
        gradient_steps=trials.gradient_steps,
    )
    result = replace(trials.result(chosen, request.seed), search=search)
    keep(result, request, None, None)
    if folder is not None and not request.keep_checkpoint:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def check_retain(retain: object) -> float:
    """Check what must be kept.

    Args:
        retain: A part of the dense agent's score.

    Returns:
        It, a float.

    Raises:
        InputError: If it is no number in (0, 1].
    """
    found = finite_number("retain", retain)
    if not 0.0 < found <= 1.0:
        raise InputError(f"retain is a part of the dense agent's score in (0, 1], not {found:g}.")
    return found


def _check(request: TrainingRequest) -> None:
    if isinstance(request.method, Mask | Path):
        raise InputError(
            "sparsity='auto' tries several sparsities, and a given mask has one. Name a method,"
            " or give the mask's sparsity."
        )
    if not request.evaluate:
        raise InputError(
            "sparsity='auto' compares returns: it needs evaluation episodes, and evaluate=0 asks"
            " for none."
        )
    if getattr(request.algo, "impl", None) is not None:
        raise InputError(
            "sparsity='auto' trains agents of several seeds, and this algorithm is built already."
            " Give its name or its config."
        )


@dataclass
class _Trials:
    """Runs of one request at several sparsities and seeds; each is trained once.

    Attributes:
        request: The request.
        data: Its dataset.
        run: Trains a request.
        folder: Where finished runs wait in case of a kill; None for nowhere.
    """

    request: TrainingRequest
    data: Dataset
    run: Run
    folder: Path | None
    episodes: int = 0
    gradient_steps: int = 0
    _scores: dict[tuple[float, int], float] = field(default_factory=dict)
    _first: dict[float, PruneResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        returns = self.data.episode_returns
        self._low, self._high = float(returns.min()), float(returns.max())

    @property
    def unit(self) -> str:
        """What a score is."""
        if self.data.metadata.normalized_score(0.0) is not None:
            return "normalized score"
        return f"return from {self._low:.4g} (0) to {self._high:.4g} (1), the dataset's episodes"

    def beside_dense(self, sparsity: float, seeds: tuple[int, ...], retain: float) -> Candidate:
        """A sparsity and the dense agents of the same seeds."""
        dense = [self.score(0.0, seed) for seed in seeds]
        pruned = [self.score(sparsity, seed) for seed in seeds]
        found = ratio_to_dense({"task": pruned}, {"task": dense}, level=LEVEL)
        return Candidate(
            sparsity=sparsity,
            scores=tuple(pruned),
            dense=tuple(dense),
            ratio=found.value,
            low=found.low,
            high=found.high,
            accepted=found.low >= retain,
        )

    def score(self, sparsity: float, seed: int) -> float:
        """Score of the agent of a sparsity and a seed, trained if it has not been."""
        if (sparsity, seed) not in self._scores:
            self.result(sparsity, seed)
        return self._scores[sparsity, seed]

    def result(self, sparsity: float, seed: int) -> PruneResult:
        """The trained agent of a sparsity and a seed."""
        if seed == self.request.seed and sparsity in self._first:
            return self._first[sparsity]
        result = self._trained(sparsity, seed)
        evaluation = result.evaluation
        if evaluation.mean_return is None:
            raise InputError(
                f"sparsity='auto' compares returns, and agents cannot be evaluated here:"
                f" {evaluation.reason}."
            )
        score = evaluation.normalized_score
        if score is None:
            score = (evaluation.mean_return - self._low) / ((self._high - self._low) or 1.0)
        self._scores[sparsity, seed] = score
        self.episodes += len(evaluation.seeds)
        self.gradient_steps += result.settings.n_steps
        if seed == self.request.seed:
            self._first[sparsity] = result
        return result

    def _trained(self, sparsity: float, seed: int) -> PruneResult:
        place = None if self.folder is None else self.folder / f"{sparsity}-{seed}"
        if place is not None and place.exists():
            return PruneResult.load(place, device=self.request.device)
        asked = replace(
            self.request,
            sparsity=sparsity,
            seed=seed,
            retain=None,
            max_sparsity=None,
            search_seeds=None,
            output_dir=place,
            checkpoint_dir=None if self.folder is None else self.folder / "unfinished",
            keep_checkpoint=False,
        )
        return self.run(asked)


def _folder(request: TrainingRequest, data: Dataset) -> Path | None:
    """Where the runs of this very search wait; None where no folder was named."""
    if request.checkpoint_dir is None:
        return None
    asked = {n: v for n, v in values(request).items() if n not in _NOT_PART_OF_IT}
    asked = as_json(asked, repr, sort_keys=True)
    name = digest_of({"asked": asked, **contents_of(data)})[:16]
    return Path(request.checkpoint_dir) / f"auto-{name}"
