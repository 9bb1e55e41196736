"""Which network bears pruning: the actor alone, the critic alone, and so on."""

from __future__ import annotations

from typing import Any

from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.comparison import Comparison
from offline_prune.reporting.figures.canvas import Drawing, legend_below, panels
from offline_prune.reporting.figures.dense_band import draw_dense
from offline_prune.reporting.figures.style import line_style, short

__all__ = ["ablation"]


def ablation(analysis: Analysis) -> Drawing | None:
    """Draw interquartile means and intervals where networks were pruned differently.

    Args:
        analysis: The study.

    Returns:
        The figure; None if no sparsity of the study differs between networks.
    """
    shown = {task.name: _rows(analysis.comparisons[task.name]) for task in analysis.tasks}
    tasks = [task for task in analysis.tasks if shown[task.name]]
    if not tasks:
        return None
    methods = [m for m in analysis.methods
               if any(m in row for task in tasks for row in shown[task.name].values())]  # fmt: skip
    longest = max(len(shown[task.name]) for task in tasks)
    height = longest * (0.17 * len(methods) + 0.16) + 0.9
    figure, all_axes = panels(len(tasks), 2, height)
    entries: dict[str, Any] = {}
    for axes, task in zip(all_axes, tasks, strict=True):
        found = analysis.comparisons[task.name]
        entries |= draw_dense(axes, found, upright=True)
        rows = shown[task.name]
        for place, row in enumerate(rows.values()):
            for number, label in enumerate(methods):
                if label not in row:
                    continue
                c = row[label]
                y = place + 0.7 * ((number + 0.5) / len(methods) - 0.5)
                style = {**line_style(analysis, label), "linestyle": "none"}
                if c.interval is not None:
                    axes.plot([c.interval.low, c.interval.high], [y] * 2, color=style["color"])
                (entries[label],) = axes.plot([c.iqm], [y], **style)
        axes.set_yticks(range(len(rows)), [short(text, 34) for text in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_title(short(task.name))
        axes.set_xlabel(task.unit)
        axes.locator_params(axis="x", nbins=6)
    legend_below(figure, entries, analysis.methods)
    return Drawing(
        figure,
        "Which network bears pruning",
        "Only the networks named are pruned, to the sparsity given; the others stay dense."
        " Interquartile mean of the final window with its 95 % interval; the grey band is the"
        " dense agent.",
    )


def _rows(found: tuple[Comparison, ...]) -> dict[str, dict[str, Comparison]]:
    """Which networks → method → its runs; the last row is all of them alike."""
    rows: dict[str, dict[str, Comparison]] = {}
    levels: set[float] = set()
    for c in sorted(found, key=lambda c: sum(part > 0 for _, part in c.group.by_role)):
        if c.group.by_role and c.iqm is not None:
            rows.setdefault(_which(c.group.by_role), {})[c.group.label] = c
            levels |= {part for _, part in c.group.by_role if part}
    methods = {label for row in rows.values() for label in row}
    for c in found:
        sparsity = c.group.sparsity
        if sparsity in levels and c.group.label in methods and c.iqm is not None:
            rows.setdefault(f"all networks {100 * (sparsity or 0):g} %", {})[c.group.label] = c
    return rows


def _which(by_role: tuple[tuple[str, float], ...]) -> str:
    pruned = [(role, part) for role, part in by_role if part]
    if len({part for _, part in pruned}) == 1:
        return f"{' + '.join(role for role, _ in pruned)} {100 * pruned[0][1]:g} %"
    return ", ".join(f"{role} {100 * part:g} %" for role, part in pruned)
