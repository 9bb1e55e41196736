"""What each method keeps of each layer: a heat map a task."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.figures.canvas import WIDTH, Drawing
from offline_prune.reporting.figures.style import short

__all__ = ["layer_densities"]

_LEAST = 1e-3  # where the colours begin
_MOST_NUMBERED = 26  # columns in which numbers can be read


def layer_densities(analysis: Analysis) -> Drawing | None:
    """Draw the mean density of each layer at the sparsity with most methods.

    Args:
        analysis: The study.

    Returns:
        The figure; None if nothing was pruned.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    shown: dict[str, dict[str, dict[tuple[str, str], float]]] = {}
    for task in analysis.tasks:
        groups = [c.group for c in analysis.beside(task) if c.group.kind != "dense"]
        found = {g.label: g.layer_densities for g in groups}
        found = {label: own for label, own in found.items() if own}
        if found:
            shown[analysis.title_beside(task)] = found
    if not shown:
        return None
    rows = [len(found) for found in shown.values()]
    widest = max(len(own) for found in shown.values() for own in found.values())
    width = WIDTH if widest > 6 else 6.5
    figure = Figure(figsize=(width, sum(0.22 * r + 0.55 for r in rows) + 0.2), layout="constrained")
    all_axes = figure.subplots(len(rows), 1, squeeze=False, height_ratios=rows)
    for axes, (name, found) in zip(all_axes.flat, shown.items(), strict=True):
        layers = list(dict.fromkeys(where for own in found.values() for where in own))
        density = np.array([[own.get(w, np.nan) for w in layers] for own in found.values()])
        axes.grid(visible=False)
        image = axes.imshow(np.clip(density, _LEAST, 1.0), norm=LogNorm(_LEAST, 1.0),
                            cmap="cividis", aspect="auto")  # fmt: skip
        if len(layers) <= _MOST_NUMBERED:
            for (row, column), value in np.ndenumerate(density):
                if np.isfinite(value):
                    number = axes.text(column, row, _percent(value), ha="center", va="center",
                                       color="black" if value > 0.08 else "white",
                                       fontsize=7.5)  # fmt: skip
                    number.set_in_layout(False)  # it lies within its cell
        starts = [n for n, (a, b) in enumerate(pairwise(layers), 1) if a[0] != b[0]]
        for start in starts:
            axes.plot([start - 0.5] * 2, [-0.5, len(found) - 0.5], color="white", lw=3)
            axes.set_ylim(len(found) - 0.5, -0.5)
        networks = [layers[start][0] for start in (0, *starts)]
        ends = (*starts, len(layers))
        middles = [(a + b - 1) / 2 for a, b in zip((0, *starts), ends, strict=True)]
        axes.set_xticks(middles, [short(network, 16) for network in networks])
        axes.set_yticks(range(len(found)), [short(label, 34) for label in found])
        axes.set_xlim(-0.5, max(widest, len(layers)) - 0.5)  # cells of all tasks are alike
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(short(name, 90))
    shrink = min(1.0, 2.2 / figure.get_figheight())
    bar = figure.colorbar(image, ax=list(all_axes.flat), shrink=shrink, pad=0.01, aspect=14)
    bar.set_ticks([0.001, 0.01, 0.1, 1.0], labels=["≤ 0.1", "1", "10", "100"])
    bar.ax.minorticks_off()
    bar.set_label("% kept")
    bar.outline.set_visible(False)
    return Drawing(
        figure,
        f"Density of layers at a sparsity of {100 * (analysis.sparsity or 0):g} %",
        "Percentage of each layer's weights that the final mask keeps, mean over the seeds;"
        " layers from input to output within each network. layers.csv has their names. A small"
        " dense network keeps all of fewer weights.",
    )


def _percent(value: float) -> str:
    return f"{100 * value:.0f}" if value >= 0.0995 else f"{100 * value:.1f}"
