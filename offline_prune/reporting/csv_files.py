"""The numbers of a report as CSV: full precision, one row an observation."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from offline_prune.evaluation.statistics import Estimate
from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.tables import failed_table, overall_table
from offline_prune.reporting.tasks import Group

__all__ = ["write_csv_files"]

_GROUP = ("dataset", "algo", "settings", "method", "kind", "sparsity")


def write_csv_files(analysis: Analysis, directory: Path) -> tuple[str, ...]:
    """Write the tables.

    ``summary.csv`` has a row for each task, method and sparsity, and ``overall.csv`` for
    each method over all tasks; ``curves.csv`` for each evaluation of each run;
    ``layers.csv`` for each layer; ``failed.csv`` for each run that failed. Fractions lie
    in [0, 1]; an estimate has its value, and the ends of its 95 % interval.

    Args:
        analysis: The study.
        directory: Where to write; it exists.

    Returns:
        Names of the files.
    """
    summary = list(_summary(analysis))
    files: dict[str, tuple[Sequence[str], Sequence[Sequence[Any]]]] = {
        "summary.csv": (summary[0], summary[1:]),
        "curves.csv": (
            (*_GROUP, "seed", "step", "mean_return", "normalized_score"),
            list(_curves(analysis)),
        ),
        "layers.csv": ((*_GROUP, "network", "layer", "density"), list(_layers(analysis))),
    }
    if overall_table(analysis) is not None:
        overall = list(_overall(analysis))
        files["overall.csv"] = (overall[0], overall[1:])
    failed = failed_table(analysis)
    if failed is not None:
        files["failed.csv"] = (failed.columns, failed.rows)
    for name, (columns, rows) in files.items():
        with (directory / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)
    return tuple(files)


def _summary(analysis: Analysis) -> Iterator[Sequence[Any]]:
    yield (*_GROUP, "runs", "failed", "unit", *_named("iqm"), *_named("ratio"), "no_ratio",
           "verdict", "power", "together", "p_corrected", "effect", *_named("over_dense"),
           *_named("over_shuffled"),
           "effective_sparsity", "weights_kept", "kept_fraction",
           "training_time_ratio")  # fmt: skip
    for task in analysis.tasks:
        for n, c in enumerate(analysis.comparisons[task.name]):
            g, place = c.group, (task.name, n)
            score = _numbers(c.interval) if c.interval else (c.iqm, None, None)
            yield (task.dataset, task.algo, task.settings, g.label, g.kind, _sparsity(g),
                   len(c.values), c.failed, task.unit, *score, *_numbers(c.ratio),
                   c.no_ratio, c.verdict, c.ratio and c.ratio.power,
                   analysis.family.together.get(place), analysis.family.corrected.get(place),
                   c.effect,
                   *_numbers(c.over_dense), *_numbers(c.over_shuffled),
                   c.effective_sparsity, c.kept, c.kept_fraction, c.time_ratio)  # fmt: skip


def _overall(analysis: Analysis) -> Iterator[Sequence[Any]]:
    yield ("method", "kind", "sparsity", "tasks", "runs", "failed", *_named("iqm"),
           *_named("ratio"), "verdict", "power", *_named("over_dense"))  # fmt: skip
    for entry in analysis.overall:
        ratio = entry.ratio
        yield (entry.label, analysis.kinds[entry.label],
               0.0 if entry.ratio is None else analysis.sparsity, len(entry.scores),
               sum(map(len, entry.scores.values())), entry.failed, *_numbers(entry.interval),
               *_numbers(ratio), entry.verdict, ratio and ratio.power,
               *_numbers(entry.over_dense))  # fmt: skip


def _curves(analysis: Analysis) -> Iterator[Sequence[Any]]:
    for task in analysis.tasks:
        for g in task.groups:
            for run in g.runs:
                for p in run.curve:
                    yield (task.dataset, task.algo, task.settings, g.label, g.kind, _sparsity(g),
                           run.seed, p.step, p.mean_return, p.score)  # fmt: skip


def _layers(analysis: Analysis) -> Iterator[Sequence[Any]]:
    for task in analysis.tasks:
        for g in task.groups:
            for (network, layer), density in g.layer_densities.items():
                yield (task.dataset, task.algo, task.settings, g.label, g.kind, _sparsity(g),
                       network, layer, density)  # fmt: skip


def _sparsity(group: Group) -> float | str:
    return group.sparsity_text if group.sparsity is None else group.sparsity


def _named(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _numbers(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
