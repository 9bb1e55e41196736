"""Returns against seconds of training: stock d3rlpy's dense agent and ours."""

from __future__ import annotations

from statistics import fmean

import numpy as np
from cells import RECIPE, Arms, Costs, Runs, curve_of, of_algorithm, short_name
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from panels import COLOURS, add_legend, panels


def time_figure(dataset: str, arms: Arms, cost: Costs) -> Figure:
    """Mean and range of the seeds' returns at every evaluation, a panel an algorithm.

    Seconds are steps times what a step costs on a quiet machine; arms without such a number are
    not drawn.

    Args:
        dataset: Of the arms.
        arms: All that are reported of it.
        cost: Milliseconds a step.
    """
    figure, found, empty = panels(arms)
    for algo, axes in found.items():
        ours, full = of_algorithm(arms, algo)
        own = cost.get(algo, {})
        for arm, runs in sorted(ours.items(), key=lambda item: item[0].sparsity):
            if arm.steps != full:
                continue
            if (arm.method, arm.said) == ("dense", RECIPE):
                _draw(axes, runs, own.get("stock"), "dense, stock d3rlpy", COLOURS["dense"], "")
            elif arm.is_default and f"{arm.sparsity:g}" in own:
                colour = COLOURS["ours" if arm.sparsity == 0.95 else "sparser"]
                marker = _MARKERS.get(arm.sparsity, "D")
                label = f"{100 * arm.sparsity:g} % pruned before training"
                _draw(axes, runs, own[f"{arm.sparsity:g}"], label, colour, marker)
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        ticks = [tick for tick in _TICKS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))  # of all: they share it
    figure.supylabel("return", fontsize="medium")
    figure.supxlabel("seconds of training, one thread", fontsize="medium")
    add_legend(
        empty,
        found,
        f"{short_name(dataset)}, equal steps;\nmean and range of the seeds,\nlast weights;"
        " open circles:\naveraged ones at the end\n",
    )
    return figure


_TICKS = [m * 10**n for n in range(-1, 5) for m in (1, 2, 5)]
_MARKERS = {0.9: "^", 0.95: "o", 0.98: "s", 0.99: "v"}


def _draw(axes: Axes, runs: Runs, cost: float | None, label: str, colour: str, marker: str) -> None:
    if cost is None:
        return
    curves = [curve_of(record, "mean_return") for record in runs.values()]
    seconds = [step * cost / 1000.0 for step in curves[0]]
    values = np.array([list(curve.values()) for curve in curves])
    axes.plot(
        seconds, values.mean(axis=0), label=label, color=colour, marker=marker or "x", markersize=5
    )
    averaged = [float(record["result"]["mean_return"]) for record in runs.values()]
    axes.plot(
        seconds[-1:], [fmean(averaged)], linestyle="", marker="o", markersize=9, color=colour,
        markerfacecolor="none", label=None,
    )  # fmt: skip
    axes.fill_between(
        seconds, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, linewidth=0
    )
