"""Learning curves of dense and pruned agents."""

from __future__ import annotations

from typing import Any

from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.curves import Curve, mean_curve
from offline_prune.reporting.figures.canvas import Drawing, legend_below, panels
from offline_prune.reporting.figures.style import KIND_TITLES, line_style, short
from offline_prune.reporting.tasks import Task

__all__ = ["learning_curves"]


def learning_curves(analysis: Analysis) -> Drawing | None:
    """Draw the interquartile mean over the seeds at every evaluation, kind by kind.

    Args:
        analysis: The study.

    Returns:
        The figure; None if no run was evaluated more than once.
    """
    curves: dict[tuple[str, str], Curve] = {}
    for task in analysis.tasks:
        for c in analysis.beside(task):
            curve = mean_curve(task, c.group)
            if curve is not None and len(curve.steps) > 1:
                curves[task.name, c.group.label] = curve
    kinds = [k for k in KIND_TITLES if any(analysis.kinds[label] == k for _, label in curves)]
    kinds = kinds or ["dense"]

    def present(task: Task) -> list[str]:
        own = {analysis.kinds[label] for name, label in curves if name == task.name}
        return [kind for kind in kinds if kind in own]

    tasks = [task for task in analysis.tasks if present(task)]
    if not tasks:
        return None
    figure, all_axes = panels(len(tasks) * len(kinds), len(kinds), 2.3, sharey="row")
    entries: dict[str, Any] = {}
    places = [
        (task, kind)
        for task in tasks
        for kind in [*present(task), *([""] * len(kinds))][: len(kinds)]
    ]
    for number, (axes, (task, kind)) in enumerate(zip(all_axes, places, strict=True)):
        if not kind:
            axes.set_axis_off()
            continue
        for label in analysis.methods:
            curve = curves.get((task.name, label))
            if curve is None or analysis.kinds[label] not in ("dense", kind):
                continue
            style = line_style(analysis, label)
            (entries[label],) = axes.plot(curve.steps, curve.values, markersize=3, **style)
            if curve.low is not None:
                axes.fill_between(curve.steps, curve.low, curve.high, color=style["color"],
                                  alpha=0.12, lw=0)  # fmt: skip
        if number % len(kinds) == 0:
            axes.set_ylabel(task.unit)
        dataset, _, algo = analysis.title_beside(task).rpartition(" · ")
        what = f"{algo} · {KIND_TITLES[kind]}" if kind in KIND_TITLES else algo
        width = 100 // len(kinds)
        axes.set_title(f"{short(dataset, width)}\n{short(what, width)}")
        axes.set_xlabel("gradient steps")
        axes.locator_params(axis="x", nbins=5)
    legend_below(figure, entries, analysis.methods)
    sparsity = "" if analysis.sparsity is None else f" at {100 * analysis.sparsity:g} %"
    return Drawing(
        figure,
        f"Learning curves{sparsity}",
        "Interquartile mean over the seeds at each evaluation, with its pointwise 95 % interval;"
        " the dense agent, black, is in every panel. Panels of a row share their scale.",
    )
