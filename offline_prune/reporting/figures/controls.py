"""All methods at one sparsity beside their controls: a forest plot."""

from __future__ import annotations

from itertools import pairwise

from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.figures.canvas import Drawing, panels
from offline_prune.reporting.figures.dense_band import draw_dense
from offline_prune.reporting.figures.style import line_style, short

__all__ = ["controls"]


def controls(analysis: Analysis) -> Drawing | None:
    """Draw interquartile means, intervals and runs at the sparsity with most methods.

    Args:
        analysis: The study.

    Returns:
        The figure; None if nothing was pruned, or nothing evaluated.
    """
    shown = {
        task.name: {c.group.label: c for c in analysis.beside(task) if c.iqm is not None}
        for task in analysis.tasks
    }
    tasks = [
        task for task in analysis.tasks if any(c.group.sparsity for c in shown[task.name].values())
    ]
    if not tasks or analysis.sparsity is None:
        return None
    methods = [m for m in analysis.methods if any(m in shown[task.name] for task in tasks)]
    figure, all_axes = panels(len(tasks), 2, 0.24 * len(methods) + 0.9, sharey=True)
    for axes, task in zip(all_axes, tasks, strict=True):
        found = shown[task.name]
        draw_dense(axes, found.values(), upright=True)
        for place, label in enumerate(methods):
            if label not in found:
                continue
            c = found[label]
            style = line_style(analysis, label)
            colour = style["color"]
            runs = list(c.values.values())
            if c.interval is not None:
                axes.plot(runs, [place + 0.28] * len(runs), ".", color=colour, alpha=0.6, ms=5,
                          mew=0)  # fmt: skip
                axes.plot([c.interval.low, c.interval.high], [place] * 2, color=colour, lw=1.8)
            axes.plot([c.iqm], [place], color=colour, marker=style["marker"] or "o", ms=5.5)
        for place, (one, other) in enumerate(pairwise(methods)):
            if analysis.kinds[one] != analysis.kinds[other]:
                axes.axhline(place + 0.5, color="#b0b0b0", lw=0.8)
        axes.set_yticks(range(len(methods)), [short(m, 34) for m in methods])
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_title(short(analysis.title_beside(task)))
        axes.set_xlabel(task.unit)
        axes.locator_params(axis="x", nbins=6)
    return Drawing(
        figure,
        f"Methods and controls at a sparsity of {100 * analysis.sparsity:g} %",
        "Interquartile mean of the final window with its 95 % interval; the small dots below are"
        " the runs, the grey band is the dense agent. Lines part dense, saliencies, controls, and"
        " methods that prune while training. A saliency whose interval reaches over its controls"
        " has shown nothing beyond them.",
    )
