"""A study, analysed once: what tables, figures and the page all show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from offline_prune.evaluation.statistics import interquartile_mean, probability_of_improvement
from offline_prune.reporting.comparison import (
    BesideDense,
    Comparison,
    compare,
    ratio_over_pairs,
)
from offline_prune.reporting.family import Family, find_family
from offline_prune.reporting.kinds import KINDS
from offline_prune.reporting.runs import Run, read_runs
from offline_prune.reporting.tasks import Task, find_tasks

__all__ = ["Analysis", "Overall", "analyse"]


@dataclass(frozen=True, kw_only=True)
class Overall(BesideDense):
    """A method over all tasks that have normalised scores and dense runs.

    Its interval is stratified by task, its probability that of a random task.

    Attributes:
        label: The method.
        scores: Task → final-window scores of its runs.
    """

    label: str
    scores: Mapping[str, list[float]]


@dataclass(frozen=True)
class Analysis:
    """A study, analysed.

    Attributes:
        name: Of its folder.
        runs: All runs.
        tasks: What may be compared.
        comparisons: Task's name → one comparison a group.
        methods: Labels of all methods of the study, in the order of tables and figures.
        kinds: Label → kind of the method.
        sparsity: The one at which most methods were run, where controls are shown; None
            if nothing was pruned.
        overall: At that sparsity, of dense and the methods run on every scored task that
            has it.
        family: All verdicts, and which of them hold at once.

    Examples:
        >>> import tempfile
        >>> from offline_prune import sweep
        >>> folder = tempfile.TemporaryDirectory()
        >>> study = sweep(
        ...     "pendulum/mixture-v0", "bc", [0.0, 0.9], "snip", seeds=2, out=f"{folder.name}/s",
        ...     n_steps=20, evaluate=1, evaluations=1, progress=False,
        ... )
        >>> from offline_prune.reporting import analyse
        >>> analysis = analyse(study.directory)
        >>> [task.name for task in analysis.tasks], len(analysis.failed)
        (['pendulum/mixture-v0 · bc'], 0)
        >>> folder.cleanup()
    """

    name: str
    runs: tuple[Run, ...]
    tasks: tuple[Task, ...]
    comparisons: Mapping[str, tuple[Comparison, ...]]
    methods: tuple[str, ...]
    kinds: Mapping[str, str]
    sparsity: float | None
    overall: tuple[Overall, ...]
    family: Family

    @property
    def failed(self) -> tuple[Run, ...]:
        """The runs that failed."""
        return tuple(run for run in self.runs if run.error is not None)

    def sparsity_of(self, task: Task) -> float | None:
        """Where a task's controls are shown: :attr:`sparsity`, or where it has more of them."""
        own = _sparsity((task,))
        found = [group.sparsity for group in task.groups]
        return self.sparsity if found.count(self.sparsity) >= found.count(own) else own

    def beside(self, task: Task) -> tuple[Comparison, ...]:
        """Dense and all methods of a task at the sparsity where its controls are shown."""
        sparsity = self.sparsity_of(task)
        return tuple(
            c
            for c in self.comparisons[task.name]
            if c.group.kind == "dense" or (sparsity is not None and c.group.sparsity == sparsity)
        )

    def title_beside(self, task: Task) -> str:
        """The task's name, with its sparsity where that is not :attr:`sparsity`."""
        sparsity = self.sparsity_of(task)
        if sparsity is None or sparsity == self.sparsity:
            return task.name
        return f"{task.name} at {100 * sparsity:g} %"


def analyse(directory: str | Path) -> Analysis:
    """Read a study and compute all its statistics.

    Args:
        directory: The folder that ``sweep`` wrote.

    Returns:
        The analysis; the same whenever the records are the same.

    Raises:
        OutputDirectoryError: If it is not the folder of a study, or holds no cell.
        InputError: If a record is not as ``sweep`` writes it.

    Examples:
        >>> import tempfile
        >>> from offline_prune import sweep
        >>> folder = tempfile.TemporaryDirectory()
        >>> study = sweep(
        ...     "pendulum/mixture-v0", "bc", [0.0, 0.9], "snip", seeds=2, out=f"{folder.name}/s",
        ...     n_steps=20, evaluate=1, evaluations=1, progress=False,
        ... )
        >>> from offline_prune.reporting import analyse
        >>> analysis = analyse(study.directory)
        >>> analysis.methods, analysis.sparsity
        (('dense', 'snip'), 0.9)
        >>> folder.cleanup()
    """
    runs = read_runs(directory)
    tasks = find_tasks(runs)
    comparisons = {task.name: compare(task) for task in tasks}
    kinds = {group.label: group.kind for task in tasks for group in task.groups}
    methods = sorted(kinds, key=lambda label: (KINDS.index(kinds[label]), label))
    sparsity = _sparsity(tasks)
    return Analysis(
        Path(directory).resolve().name,
        tuple(runs),
        tasks,
        comparisons,
        tuple(methods),
        kinds,
        sparsity,
        _overall(tasks, methods, sparsity),
        find_family(comparisons),
    )


def _sparsity(tasks: tuple[Task, ...]) -> float | None:
    """The sparsity with most methods, then most runs, then the highest."""
    found: dict[float, set[str]] = {}
    runs: dict[float, int] = {}
    for task in tasks:
        for group in task.groups:
            if group.sparsity:
                found.setdefault(group.sparsity, set()).add(group.label)
                runs[group.sparsity] = runs.get(group.sparsity, 0) + len(group.runs)
    return max(found, key=lambda s: (len(found[s]), runs[s], s), default=None)


def _overall(
    tasks: tuple[Task, ...], methods: list[str], sparsity: float | None
) -> tuple[Overall, ...]:
    scored = [
        task
        for task in tasks
        if task.scored
        and task.dense
        and len(task.values(task.dense)) > 1
        and any(group.sparsity == sparsity for group in task.groups)
    ]
    dense: dict[str, dict[int, float]] = {}
    found: list[Overall] = []
    for label in methods:
        groups = {
            task.name: group
            for task in scored
            for group in task.groups
            if group.label == label and (group.kind == "dense" or group.sparsity == sparsity)
        }
        values = {task.name: task.values(groups[task.name]) for task in scored
                  if task.name in groups}  # fmt: skip
        if not scored or len(values) < len(scored) or any(len(v) < 2 for v in values.values()):
            continue
        scores = {name: list(own.values()) for name, own in values.items()}
        is_dense = all(group.kind == "dense" for group in groups.values())
        dense = values if is_dense else dense
        base = {name: list(own.values()) for name, own in dense.items()}
        found.append(
            Overall(
                label=label,
                scores=scores,
                interval=interquartile_mean(scores),
                ratio=None if is_dense else ratio_over_pairs(values, dense),
                over_dense=probability_of_improvement(scores, base)
                if base and not is_dense
                else None,
                failed=sum(len(group.failed) for group in groups.values()),
            )
        )
    return tuple(found)
