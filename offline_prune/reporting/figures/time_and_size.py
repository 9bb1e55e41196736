"""Training time and size beside the dense agent's."""

from __future__ import annotations

import math
from typing import Any

from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.figures.canvas import Drawing, legend_below, panels
from offline_prune.reporting.figures.density_axis import dodge
from offline_prune.reporting.figures.style import DENSE_COLOUR, line_style, short

__all__ = ["time_and_size"]


def time_and_size(analysis: Analysis) -> Drawing | None:
    """Draw training time against the weights kept, both over the dense agent's.

    Args:
        analysis: The study.

    Returns:
        The figure; None if no pruned run has a dense one of its seed.
    """
    shown = {
        task.name: [
            (c.group.label, c.kept_fraction, c.time_ratio)
            for c in analysis.comparisons[task.name]
            if c.group.kind != "dense" and c.group.sparsity and c.kept_fraction and c.time_ratio
        ]
        for task in analysis.tasks
    }
    tasks = [task for task in analysis.tasks if shown[task.name]]
    if not tasks:
        return None
    figure, all_axes = panels(len(tasks), 2, 2.7)
    entries: dict[str, Any] = {}
    for axes, task in zip(all_axes, tasks, strict=True):
        entries["dense"] = axes.axhline(1.0, color=DENSE_COLOUR, lw=1.2)
        labels = [m for m in analysis.methods if m in {own for own, _, _ in shown[task.name]}]
        for number, label in enumerate(labels):
            points = [(x, y) for own, x, y in shown[task.name] if own == label]
            kept, y = zip(*sorted(points), strict=True)
            x = [100 * dodge(part, number, len(labels), 0.12) for part in kept]
            (entries[label],) = axes.plot(x, y, **line_style(analysis, label))
        _log_axes(axes, shown[task.name])
        axes.set_title(short(task.name))
        axes.set_xlabel("weights kept (% of the dense agent's)")
        axes.set_ylabel("training time / dense")
    legend_below(figure, entries, analysis.methods)
    return Drawing(
        figure,
        "Time and size",
        "Wall-clock seconds of training over those of the dense run of the seed, median over the"
        " seeds, against the weights that are kept; without scoring and evaluation. Below the"
        " line is faster; methods are set a little apart sideways. Cells of a sweep run side by"
        " side on a machine that may do other things: this is no benchmark.",
    )


def _log_axes(axes: Any, shown: list[tuple[str, float, float]]) -> None:
    kept = [100 * x for _, x, _ in shown]
    times = [1.0, *(y for _, _, y in shown)]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(kept) / 1.4, max(kept) * 1.4)
    axes.set_ylim(min(times) / 1.3, max(times) * 1.3)
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        marks = _marks(low, high)
        axis.set_ticks(marks, [f"{mark:g}" for mark in marks])
        axis.set_ticks([], minor=True)


def _marks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis, more of them the shorter it is."""
    steps: tuple[float, ...] = (1, 2, 5)
    if high / low < 6:
        steps = (1, 1.5, 2, 3, 4, 5, 6, 8)
    elif high / low > 300:
        steps = (1,)
    tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**e for e in tens for m in steps if low <= m * 10.0**e <= high]
