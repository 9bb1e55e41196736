"""Score against sparsity, one panel a task."""

from __future__ import annotations

from typing import Any

from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.comparison import Comparison
from offline_prune.reporting.figures.canvas import Drawing, legend_below, panels
from offline_prune.reporting.figures.dense_band import draw_dense
from offline_prune.reporting.figures.density_axis import density_axis, dodge
from offline_prune.reporting.figures.style import line_style, short

__all__ = ["score_by_sparsity"]


def score_by_sparsity(analysis: Analysis) -> Drawing | None:
    """Draw interquartile means and intervals of methods that have several sparsities.

    Args:
        analysis: The study.

    Returns:
        The figure; None if no method was run at more than one sparsity.
    """
    shown = {task.name: _lines(analysis.comparisons[task.name]) for task in analysis.tasks}
    tasks = [task for task in analysis.tasks if shown[task.name]]
    if not tasks:
        return None
    figure, all_axes = panels(len(tasks), 2, 2.7)
    entries: dict[str, Any] = {}
    for axes, task in zip(all_axes, tasks, strict=True):
        found = analysis.comparisons[task.name]
        entries = draw_dense(axes, found) | entries
        lines = shown[task.name]
        for number, (label, own) in enumerate(lines.items()):
            x = [dodge(1 - (c.group.sparsity or 0.0), number, len(lines)) for c in own]
            y = [c.iqm for c in own]
            low = [0.0 if not c.interval else c.iqm - c.interval.low for c in own]  # type: ignore[operator]
            high = [0.0 if not c.interval else c.interval.high - c.iqm for c in own]  # type: ignore[operator]
            drawn = axes.errorbar(x, y, yerr=[low, high], capsize=0, elinewidth=1.1,
                                  **line_style(analysis, label))  # fmt: skip
            entries[label] = drawn
        density_axis(axes, {1 - (c.group.sparsity or 0.0) for own in lines.values() for c in own})
        axes.set_title(short(task.name))
        axes.set_ylabel(task.unit)
    legend_below(figure, entries, analysis.methods)
    return Drawing(
        figure,
        "Score against sparsity",
        "Interquartile mean of the final window over the seeds, with its 95 % interval; black"
        " and grey: the dense agent. The axis is logarithmic in the weights that are left;"
        " methods are set apart sideways so that their intervals can be seen. Methods that were"
        " run at one sparsity are in the next figure.",
    )


def _lines(found: tuple[Comparison, ...]) -> dict[str, list[Comparison]]:
    lines: dict[str, list[Comparison]] = {}
    for c in found:
        if c.group.sparsity and c.iqm is not None:
            lines.setdefault(c.group.label, []).append(c)
    return {label: own for label, own in lines.items() if len(own) > 1}
