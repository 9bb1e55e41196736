"""Runs that may be compared: tasks, and in each the runs of one method and sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from offline_prune.reporting.kinds import KINDS, kind_of
from offline_prune.reporting.runs import ARM_OPTIONS, TRAINING_OPTIONS, Run
from offline_prune.run.automatic import AUTO
from offline_prune.study import DENSE

__all__ = ["Group", "Task", "find_tasks"]


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone.

    Attributes:
        label: The method, and its options where the study varies them.
        method: Its expression.
        options: The options alone, as the label gives them.
        kind: One of :data:`~offline_prune.reporting.kinds.KINDS`.
        sparsity: Fraction asked for; None where roles differ, or it was chosen.
        by_role: (role, fraction) where roles differ, else empty.
        runs: Those that ended, by seed.
        failed: Those that failed, by seed.
    """

    label: str
    method: str
    options: str
    kind: str
    sparsity: float | None
    by_role: tuple[tuple[str, float], ...]
    runs: tuple[Run, ...]
    failed: tuple[Run, ...]

    @property
    def sparsity_text(self) -> str:
        """``95 %``, ``actor 90 %, critic 0 %``, or ``auto``."""
        if self.sparsity is None and not self.by_role:
            return AUTO
        if self.sparsity is None:
            return ", ".join(f"{role} {100 * part:g} %" for role, part in self.by_role)
        return f"{100 * self.sparsity:g} %"

    @property
    def layer_densities(self) -> dict[tuple[str, str], float]:
        """(network, layer) → fraction of its weights that is kept, mean over the seeds.

        In the order of the agent. Of an agent that is small itself that is 1.
        """
        found: dict[tuple[str, str], list[float]] = {}
        for run in self.runs:
            for network, layer, density in run.layers:
                found.setdefault((network, layer), []).append(density)
        return {where: fmean(values) for where, values in found.items()}


@dataclass(frozen=True)
class Task:
    """A dataset, an algorithm and one way of training it.

    Attributes:
        dataset: Id or path.
        algo: Name of the algorithm.
        settings: Training options in which the study's runs of these two differ.
        scored: Whether all runs have normalised scores; otherwise returns are compared.
        groups: Dense first, then by kind, method and sparsity.
    """

    dataset: str
    algo: str
    settings: str
    scored: bool
    groups: tuple[Group, ...]

    @property
    def name(self) -> str:
        """Dataset and algorithm, and what sets it apart from others of these two."""
        return f"{self.dataset} · {self.algo}" + (f" ({self.settings})" if self.settings else "")

    @property
    def unit(self) -> str:
        """What :meth:`values` are."""
        return "normalised score" if self.scored else "return"

    @property
    def dense(self) -> Group | None:
        """The runs that prune nothing."""
        return next((g for g in self.groups if g.kind == "dense"), None)

    def values(self, group: Group) -> dict[int, float]:
        """Seed → final-window mean, of the runs of a group that were evaluated.

        It is a run's score, or its return without references.
        """
        found = {run.seed: run.score if self.scored else run.final_return for run in group.runs}
        return {seed: value for seed, value in found.items() if value is not None}


def find_tasks(runs: Sequence[Run]) -> tuple[Task, ...]:
    """Sort runs into tasks and groups.

    Args:
        runs: All runs of a study.

    Returns:
        The tasks by dataset, algorithm and settings.
    """
    pruned = [run for run in runs if run.method != DENSE]
    varied = [n for n in ARM_OPTIONS if len({run.pruning[n] for run in pruned}) > 1]
    pairs: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        pairs.setdefault((run.dataset, run.algo), []).append(run)
    tasks = []
    for (dataset, algo), own in sorted(pairs.items()):
        names = (*TRAINING_OPTIONS, *sorted({name for run in own for name in run.params}))
        differing = [n for n in names if len({_options(run).get(n) for run in own}) > 1]
        settings: dict[str, list[Run]] = {}
        for run in own:
            settings.setdefault(_text(run, differing), []).append(run)
        tasks += [_task(dataset, algo, s, found, varied) for s, found in sorted(settings.items())]
    return tuple(tasks)


def _task(dataset: str, algo: str, settings: str, runs: list[Run], varied: list[str]) -> Task:
    groups: dict[tuple[str, str, float | None, tuple[tuple[str, float], ...]], list[Run]] = {}
    for run in runs:
        options = "" if run.method == DENSE else _text(run, varied)
        groups.setdefault((run.method, options, run.sparsity, run.by_role), []).append(run)
    evaluated = [run for run in runs if run.final_return is not None]
    found = [_group(*key, own) for key, own in groups.items()]
    return Task(
        dataset,
        algo,
        settings,
        bool(evaluated) and all(run.score is not None for run in evaluated),
        tuple(sorted(found, key=_order)),
    )


def _group(
    method: str,
    options: str,
    sparsity: float | None,
    by_role: tuple[tuple[str, float], ...],
    runs: list[Run],
) -> Group:
    runs = sorted(runs, key=lambda run: (run.seed, run.id))
    return Group(
        f"{method}, {options}" if options else method,
        method,
        options,
        kind_of(method),
        sparsity,
        by_role,
        tuple(run for run in runs if run.error is None),
        tuple(run for run in runs if run.error is not None),
    )


def _order(group: Group) -> tuple[int, str, bool, float, str]:
    by_role = group.sparsity is None
    return (KINDS.index(group.kind), group.label, by_role, group.sparsity or 0.0,
            repr(group.by_role))  # fmt: skip


def _options(run: Run) -> dict[str, str]:
    return {**run.params, **run.pruning, **run.training}


def _text(run: Run, names: list[str]) -> str:
    """The options that say something, such as ``allocation erk, n_batches 1``."""
    found = {name: _options(run).get(name, "null") for name in names}
    said = {name: text for name, text in found.items() if text not in ("null", "false")}
    return ", ".join(
        name if text == "true" else f"{name} {text.strip(chr(34))}" for name, text in said.items()
    )
