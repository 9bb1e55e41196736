"""Agents of one request at several sparsities and seeds, each trained once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from offline_prune.base.as_json import as_json
from offline_prune.base.digest import digest_of
from offline_prune.data import Dataset
from offline_prune.request.requests import TrainingRequest
from offline_prune.request.setting import values
from offline_prune.run.checkpoint import contents_of
from offline_prune.run.result import PruneResult

__all__ = ["Run", "Sparsity", "Trials", "trials_folder"]

Sparsity: TypeAlias = float | Mapping[str, float]
Run: TypeAlias = Callable[[TrainingRequest], PruneResult]

_NOT_PART_OF_IT = ("dataset", "output_dir", "checkpoint_dir", "keep_checkpoint", "progress")
_OBSERVERS = ("callback", "epoch_callback", "evaluators", "logger_adapter")
"""Functions and objects, which another process has at another address."""


@dataclass
class Trials:
    """Runs of one request at several sparsities and seeds; each is trained once.

    Attributes:
        request: The request.
        run: Trains a request whose sparsity is known.
        folder: Where finished runs wait in case of a kill; None for nowhere.
        episodes: Evaluation episodes so far.
        gradient_steps: Gradient steps so far, those of fitted Q functions among them.
    """

    request: TrainingRequest
    run: Run
    folder: Path | None
    episodes: int = 0
    gradient_steps: int = 0
    _counted: set[str] = field(default_factory=set)
    _first: dict[str, PruneResult] = field(default_factory=dict)

    def result(self, sparsity: Sparsity, seed: int, evaluate: int | str) -> PruneResult:
        """The trained agent of a sparsity and a seed.

        Args:
            sparsity: Of all networks, or role → sparsity.
            seed: The seed.
            evaluate: By what it is judged.

        Returns:
            It. Those of the request's own seed stay in memory.
        """
        own = seed == self.request.seed
        name = f"{_text(sparsity)}-{seed}"
        if own and name in self._first:
            return self._first[name]
        result = self._trained(name, sparsity, seed, evaluate)
        if name not in self._counted:
            self._counted.add(name)
            settings = result.settings
            self.episodes += len(result.evaluation.seeds)
            self.gradient_steps += settings.n_steps
            self.gradient_steps += (settings.ope_fits or 0) * (settings.ope_steps or 0)
        if own:
            self._first[name] = result
        return result

    def _trained(
        self, name: str, sparsity: Sparsity, seed: int, evaluate: int | str
    ) -> PruneResult:
        place = None if self.folder is None else self.folder / name
        if place is not None and place.exists():
            return PruneResult.load(place, device=self.request.device)
        asked = replace(
            self.request,
            sparsity=sparsity,
            seed=seed,
            evaluate=evaluate,
            retain=None,
            max_sparsity=None,
            search_seeds=None,
            output_dir=place,
            checkpoint_dir=None if self.folder is None else self.folder / "unfinished",
            keep_checkpoint=False,
        )
        return self.run(asked)


def trials_folder(request: TrainingRequest, data: Dataset) -> Path | None:
    """Where the runs of this very search wait.

    Args:
        request: The request.
        data: Its dataset.

    Returns:
        A folder whose name follows from everything that decides the search; None where
        no folder was named.
    """
    if request.checkpoint_dir is None:
        return None
    left_out = (*_NOT_PART_OF_IT, *_OBSERVERS)
    asked = {n: v for n, v in values(request).items() if n not in left_out}
    asked = as_json(asked, repr, sort_keys=True)
    name = digest_of({"asked": asked, **contents_of(data)})[:16]
    return Path(request.checkpoint_dir) / f"auto-{name}"


def _text(sparsity: Sparsity) -> str:
    """A name for a folder."""
    if isinstance(sparsity, Mapping):
        return ",".join(f"{role}={part}" for role, part in sparsity.items())
    return str(sparsity)
