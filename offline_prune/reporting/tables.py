"""The tables of a report, in words; the terminal and the page show the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from offline_prune.evaluation.statistics import Estimate, Verdict
from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.comparison import Comparison
from offline_prune.reporting.tasks import Task

__all__ = ["ONE_RUN", "Table", "failed_table", "overall_table", "task_table"]

ONE_RUN = "one run: no interval"
"""Said of a mean where an interval would need a second seed."""

_NONE = "–"
_SHORT: Mapping[Verdict | None, str] = {
    None: _NONE, "retained": "yes", "not retained": "no", "undecided": "undecided"
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: What it shows.
        columns: Headings.
        words: How many of the first columns are words; the others are numbers.
        rows: Cells of each row.
        notes: What must be known to read it.
    """

    title: str
    columns: tuple[str, ...]
    words: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def task_table(analysis: Analysis, task: Task) -> Table:
    """Compare all methods and sparsities of a task.

    Args:
        analysis: The study.
        task: One of its tasks.

    Returns:
        One row a method and sparsity.
    """
    found = analysis.comparisons[task.name]
    columns = ("method", "sparsity", "retained", "power", "seeds to decide", "runs",
               f"{task.unit} (IQM)", "ratio to dense", "effect size g",
               "P(better than dense)", "P(better than shuffled)", "effective sparsity",
               "weights kept", "training time / dense")  # fmt: skip
    rows = tuple(_row(task, c, _retained(analysis, task, n)) for n, c in enumerate(found))
    return Table(task.name, columns, 3, rows, _notes(analysis, task, found))


def overall_table(analysis: Analysis) -> Table | None:
    """Compare methods over all tasks.

    Args:
        analysis: The study.

    Returns:
        One row a method that was run on every scored task; None for a single task.
    """
    tasks = {name for entry in analysis.overall for name in entry.scores}
    if len(tasks) < 2 or len(analysis.overall) < 2:
        return None
    rows = [
        (
            entry.label,
            _SHORT[entry.verdict],
            *_power(entry.ratio),
            _runs(sum(map(len, entry.scores.values())), entry.failed),
            _interval(entry.interval),
            _interval(entry.ratio),
            _interval(entry.over_dense, 2),
        )
        for entry in analysis.overall
    ]
    return Table(
        f"{len(tasks)} tasks together, at a sparsity of {100 * (analysis.sparsity or 0):g} %",
        ("method", "retained", "power", "seeds to decide", "runs", "normalised score (IQM)",
         "ratio to dense", "P(better than dense)"),
        2,
        tuple(rows),
        ("Methods that have two runs or more on every task with normalised scores.",),
    )  # fmt: skip


def failed_table(analysis: Analysis) -> Table | None:
    """List the runs that failed.

    Args:
        analysis: The study.

    Returns:
        One row a run; None if none failed.
    """
    rows = []
    for task in analysis.tasks:
        for group in task.groups:
            rows += [
                (task.name, group.label, group.sparsity_text, str(run.seed), run.id, str(run.error))
                for run in group.failed
            ]
    columns = ("task", "method", "sparsity", "seed", "cell", "error")
    return Table("Failed runs", columns, len(columns), tuple(rows)) if rows else None


def _retained(analysis: Analysis, task: Task, place: int) -> str:
    """The verdict, and whether it holds alone only."""
    verdict = analysis.comparisons[task.name][place].verdict
    together = analysis.family.together.get((task.name, place), verdict)
    alone = verdict != together == "undecided"
    return f"{_SHORT[verdict]}, alone" if alone else _SHORT[verdict]


def _row(task: Task, found: Comparison, retained: str) -> tuple[str, ...]:
    group = found.group
    digits = 3 if task.scored else 1
    value = _NONE
    if found.interval is not None:
        value = _interval(found.interval, digits)
    elif found.iqm is not None:
        value = f"{found.iqm:.{digits}f} ({ONE_RUN})"
    dense = group is task.dense
    return (
        group.label,
        _NONE if dense else group.sparsity_text,
        retained,
        *_power(found.ratio),
        _runs(len(found.values), found.failed),
        value,
        _interval(found.ratio) if found.ratio else found.no_ratio or _NONE,
        _NONE if found.effect is None else f"{found.effect:+.1f}",
        _interval(found.over_dense, 2),
        _interval(found.over_shuffled, 2),
        _NONE if found.effective_sparsity is None else f"{100 * found.effective_sparsity:.1f} %",
        _NONE if found.kept is None else f"{found.kept:,.0f}",
        _NONE if found.time_ratio is None else f"{found.time_ratio:.2f}",
    )


def _notes(analysis: Analysis, task: Task, found: Iterable[Comparison]) -> tuple[str, ...]:
    notes = []
    seeds = {len(c.values) for c in found}
    if not seeds - {0}:
        notes.append("No run of this task was evaluated.")
    elif not task.scored:
        notes.append("There are no reference returns here: no normalised scores, and no ratios.")
    if len(seeds) > 1:
        notes.append(
            f"The rows have {min(seeds)} to {max(seeds)} runs. A ratio takes the seeds of both"
            " sides alone."
        )
    if any(c.verdict == "undecided" for c in found):
        notes.append(
            "Undecided: the interval of the ratio holds .97; “seeds to decide” is how many would"
            " decide this value. Power: how often an equal of dense would be called retained, by"
            " as many runs as there are."
        )
    if task.name in analysis.family.undeciding:
        notes.append(
            "All ratios lie within .01 of 1: this task decides nothing, and is not counted where"
            " verdicts are."
        )
    if any(c.failed for c in found):
        notes.append(
            "Failed runs are in no mean; a row that has one is not retained, whatever its ratio."
        )
    return tuple(notes)


def _power(ratio: Estimate | None) -> tuple[str, str]:
    """How often the rule recognises an equal, and with how many seeds this would be decided."""
    if ratio is None:
        return _NONE, _NONE
    seeds = ratio.seeds_to_decide if ratio.verdict == "undecided" else 0
    return f"{ratio.power:.2f}", ">1000" if seeds is None else str(seeds) if seeds else _NONE


def _interval(estimate: Estimate | None, digits: int = 3) -> str:
    if estimate is None:
        return _NONE
    value, low, high = (f"{x:.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _runs(done: int, failed: int) -> str:
    return f"{done}, {failed} failed" if failed else str(done)
