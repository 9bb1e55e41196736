"""sparsity="auto": the sparsest agent that is not shown to be worse than the dense one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from d3rlpy.base import LearnableBase

from offline_prune.base.arguments import finite_number
from offline_prune.data import Dataset, load_dataset
from offline_prune.errors import EnvironmentUnavailableError, InputError
from offline_prune.evaluation.off_policy.evaluation import evaluate_off_policy
from offline_prune.evaluation.plan import EvaluationPlan, planned
from offline_prune.evaluation.rollouts import check_environment
from offline_prune.masks.mask import Mask
from offline_prune.request.requests import TrainingRequest
from offline_prune.run.by_data import ByData, check_held_out_episodes
from offline_prune.run.by_returns import ByReturns
from offline_prune.run.candidates import Candidate
from offline_prune.run.choices import check_alone
from offline_prune.run.preparation import Prepared, prepare
from offline_prune.run.result import PruneResult
from offline_prune.run.saving import keep
from offline_prune.run.search import SparsitySearch
from offline_prune.run.trials import Run, Sparsity, Trials, trials_folder

__all__ = [
    "AUTO",
    "LADDER",
    "SEARCH_OPTIONS",
    "check_retain",
    "check_search",
    "choose_sparsity",
    "is_open",
    "wants_search",
    "with_open_at",
]

AUTO = "auto"
"""A sparsity that is left open."""

SEARCH_OPTIONS = ("retain", "max_sparsity", "search_seeds")
"""Settings of a request that say how a sparsity is chosen."""

LADDER = (0.8, 0.9, 0.95, 0.98, 0.99)
"""Sparsities that are tried, from the first on, until one is not accepted."""

DEFAULT_RETAIN, LEVEL = 0.97, 0.95
SEEDS_BY_RETURNS, SEEDS_BY_DATA = 5, 3


def wants_search(request: TrainingRequest) -> bool:
    """Whether a request leaves the sparsity open.

    Args:
        request: The request.

    Returns:
        True for ``sparsity="auto"``, and for a mapping in which some role has it.

    Raises:
        InputError: If settings of the search are given and the sparsity too.
    """
    if is_open(request.sparsity):
        return True
    for name in SEARCH_OPTIONS:
        if getattr(request, name) is not None:
            raise InputError(
                f"{name}={getattr(request, name)!r} says how a sparsity is chosen, and this one"
                " is given. Ask for sparsity='auto', or leave it out."
            )
    return False


def choose_sparsity(request: TrainingRequest, run: Run) -> PruneResult:
    """Train dense and ever sparser agents until one is not shown to be as good.

    Sparsities of :data:`LADDER` are tried from the first on; the first that is not accepted
    ends the search. Where several roles are open they are searched one after another, in
    the order given, each beside what was chosen for those before.

    *With an environment* a sparsity is accepted while the lower end of the interval of the
    paired ratio to the dense agents of the same seeds stays at or above ``retain``. What was
    chosen is trained again, beside dense agents, on as many seeds that the search has not seen.

    *Without one*, or with ``evaluate="ope"``, held-out episodes judge the agents of one seed: a
    policy is accepted while its disagreement with the dense one is no larger than that of
    dense ones of different seeds, and the lower end of the interval of the paired difference of
    fitted Q evaluations stays at or above ``−(1 − retain)`` of the range of the behaviour's
    values. That is not evidence of the return itself, and the result's words say so.

    Args:
        request: With an open sparsity.
        run: Trains a request whose sparsity is known.

    Returns:
        The agent of the request's own seed at the chosen sparsity, with
        :attr:`~offline_prune.run.result.PruneResult.search`; the dense one where none was
        accepted. Saved where it was asked for; the state of the search is removed then.

    Raises:
        InputError: If the request is of a mask, is judged by nothing, or cannot be judged by
            what there is; or if the dense agent learns nothing.
        DatasetError: If held-out episodes are too few, or all alike.
        UnsavedResultError: If it could not be saved; the state stays.
    """
    request = check_search(request)
    data = load_dataset(request.dataset)
    request = replace(request, dataset=data)
    reason = _why_no_rollouts(request, data)
    if reason is not None:
        request = replace(request, evaluate="ope")
    folder = trials_folder(request, data)
    prepared = prepare(replace(request, sparsity=with_open_at(request.sparsity, LADDER[0])))
    if prepared.held_out is not None:
        request = replace(request, held_out=prepared.settings.held_out)
    trials = Trials(request, run, folder)
    retain = DEFAULT_RETAIN if request.retain is None else request.retain
    count = request.search_seeds or (SEEDS_BY_RETURNS if reason is None else SEEDS_BY_DATA)
    seeds = range(request.seed, request.seed + count)
    dense = with_open_at(request.sparsity, 0.0, everywhere=True)
    judge: ByReturns | ByData
    if reason is None:
        further = range(seeds.stop, seeds.stop + count)
        episodes = planned(request.evaluate).episodes
        judge = ByReturns(trials, data, dense, episodes, seeds, further, retain=retain, level=LEVEL)
    else:
        judge = ByData(trials, _judges(prepared), dense, seeds, retain=retain, level=LEVEL)
    candidates, chosen = _climb(request, judge.candidate)
    confirmed = judge.confirmed(chosen) if any(c.accepted for c in candidates) else None
    result = trials.result(chosen, request.seed, request.evaluate)
    search = SparsitySearch(
        retain=retain,
        level=LEVEL,
        unit=judge.unit,
        candidates=candidates,
        chosen=chosen,
        confirmed=confirmed,
        seeds=tuple(seeds),
        episodes=trials.episodes,
        gradient_steps=trials.gradient_steps,
        no_rollouts=reason,
    )
    result = replace(_judged_by_both(result, prepared), search=search)
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


def _climb(
    request: TrainingRequest, judged: Callable[[Sparsity], Candidate]
) -> tuple[tuple[Candidate, ...], Sparsity]:
    """Try ever greater sparsities; the candidates, and the last accepted one, or dense."""
    most = LADDER[-1] if request.max_sparsity is None else request.max_sparsity
    ladder = sorted({*(sparsity for sparsity in LADDER if sparsity <= most), most})
    candidates: list[Candidate] = []

    def last_accepted(of: Callable[[float], Sparsity]) -> float:
        best = 0.0
        for sparsity in ladder:
            candidates.append(judged(of(sparsity)))
            if not candidates[-1].accepted:
                break
            best = sparsity
        return best

    if not isinstance(request.sparsity, Mapping):
        best = last_accepted(float)
        return tuple(candidates), best
    chosen: dict[str, float] = dict(with_open_at(request.sparsity, 0.0))
    for role in (role for role, part in request.sparsity.items() if is_open(part)):

        def with_own(sparsity: float, role: str = role) -> Sparsity:
            return {**chosen, role: sparsity}

        chosen[role] = last_accepted(with_own)
    return tuple(candidates), chosen


def is_open(sparsity: object) -> bool:
    """Whether a sparsity is ``"auto"``, or that of some role is.

    Args:
        sparsity: A number, ``"auto"``, or role → one of these.
    """
    parts = sparsity.values() if isinstance(sparsity, Mapping) else (sparsity,)
    return any(isinstance(part, str) and part == AUTO for part in parts)


def with_open_at(sparsity: Any, number: float, *, everywhere: bool = False) -> Any:
    """A sparsity with a number where it is open.

    Args:
        sparsity: A number, ``"auto"``, or role → one of these.
        number: The number.
        everywhere: Whether also where it is not open.

    Returns:
        A number, or role → number.
    """
    if not isinstance(sparsity, Mapping):
        return number if everywhere or is_open(sparsity) else sparsity
    return {
        role: number if everywhere or is_open(part) else part for role, part in sparsity.items()
    }


def _why_no_rollouts(request: TrainingRequest, data: Dataset) -> str | None:
    """Why agents are judged by held-out episodes; None where rollouts judge them."""
    if not planned(request.evaluate).episodes:
        return "an off-policy evaluation was asked for"
    try:
        check_environment(data.metadata)
    except EnvironmentUnavailableError as error:
        return str(error)
    return None


def _judged_by_both(result: PruneResult, prepared: Prepared) -> PruneResult:
    """The chosen agent with the off-policy evaluation that was asked for beside rollouts."""
    settings, held_out = prepared.settings, prepared.held_out
    steps, fits = settings.ope_steps, settings.ope_fits
    if held_out is None or steps is None or fits is None or result.evaluation.off_policy:
        return result
    found = evaluate_off_policy(
        result.algo, prepared.data, held_out, n_steps=steps, fits=fits,
        progress=prepared.request.progress,
    )  # fmt: skip
    return replace(
        result,
        evaluation=replace(result.evaluation, off_policy=found),
        settings=replace(
            result.settings, evaluate=settings.evaluate, ope_steps=steps, ope_fits=fits
        ),
    )


def _judges(prepared: Prepared) -> Dataset:
    """The held-out episodes that are to judge, checked before anything is trained."""
    held_out = prepared.held_out
    if held_out is None:
        raise InputError("Nothing is held out to judge by.")  # "ope" always holds some out
    check_held_out_episodes(held_out, prepared.agent.algo.gamma)
    if prepared.settings.ope_fits == 1:
        raise InputError(
            "ope_fits=1 says nothing of how another fit would have come out, and sparsity='auto'"
            " needs an interval: ask for two fits at least, better five."
        )
    return held_out


def check_search(request: TrainingRequest) -> TrainingRequest:
    """Check a request with an open sparsity, before its dataset is loaded.

    Args:
        request: The request.

    Returns:
        The request with its values in plain form.

    Raises:
        InputError: If something is wrong.
    """
    opened = request.sparsity
    request = check_alone(replace(request, sparsity=with_open_at(opened, LADDER[0])))
    request = replace(request, sparsity=opened)
    if isinstance(request.method, Mask | Path):
        raise InputError(
            "sparsity='auto' tries several sparsities, and a given mask has one. Name a method,"
            " or give the mask's sparsity."
        )
    if planned(request.evaluate) == EvaluationPlan(0, off_policy=False):
        raise InputError(
            "sparsity='auto' compares agents: it needs evaluation episodes, or evaluate='ope' to"
            " judge by held-out ones, and evaluate=0 asks for none."
        )
    if isinstance(request.algo, LearnableBase):
        if request.algo.impl is not None:
            raise InputError(
                "sparsity='auto' trains agents of several seeds, and this algorithm is built"
                " already. Give its name or its config."
            )
        request = replace(request, algo=request.algo.config)
    return request
