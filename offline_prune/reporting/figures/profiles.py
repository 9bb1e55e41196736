"""Performance profiles over the runs of all tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_prune.evaluation.statistics import performance_profile
from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.figures.canvas import Drawing, legend_below, panels
from offline_prune.reporting.figures.style import KIND_TITLES, line_style

__all__ = ["profiles"]


def profiles(analysis: Analysis) -> Drawing | None:
    """Draw which fraction of the runs scores above each threshold, kind by kind.

    Args:
        analysis: The study.

    Returns:
        The figure; None if no pruned method has two scored runs on every task.
    """
    kinds = [k for k in KIND_TITLES if any(analysis.kinds[e.label] == k for e in analysis.overall)]
    if not kinds:
        return None
    scores = np.concatenate([np.ravel(r) for e in analysis.overall for r in e.scores.values()])
    # Runs far below a random policy all look alike; they must not squeeze the others.
    low, high = max(float(scores.min()), -0.2), max(float(scores.max()), 0.1)
    margin = 0.04 * (high - low)
    thresholds = np.linspace(low - margin, high + margin, 121)
    figure, all_axes = panels(len(kinds), len(kinds), 2.9, sharey=True, sharex=True)
    entries: dict[str, Any] = {}
    found = {e.label: performance_profile(e.scores, thresholds) for e in analysis.overall}
    for axes, kind in zip(all_axes, kinds, strict=True):
        for entry in analysis.overall:
            if analysis.kinds[entry.label] not in ("dense", kind):
                continue
            style = line_style(analysis, entry.label)
            profile = found[entry.label]
            (line,) = axes.step(profile.thresholds, profile.values, where="post",
                                **{**style, "marker": ""})  # fmt: skip
            axes.fill_between(profile.thresholds, profile.low, profile.high, step="post",
                              color=style["color"], alpha=0.12, lw=0)  # fmt: skip
            entries[entry.label] = line
        axes.set_ylim(-0.02, 1.02)
        axes.set_title(KIND_TITLES[kind])
        axes.set_xlabel("normalised score τ")
    all_axes[0].set_ylabel("fraction of runs above τ")
    legend_below(figure, entries, analysis.methods)
    tasks = len(analysis.overall[0].scores)
    return Drawing(
        figure,
        f"Performance profile at {100 * (analysis.sparsity or 0):g} %",
        f"Fraction of the runs that score above τ, mean over {tasks} task"
        f"{'s' if tasks > 1 else ''} with normalised scores, with pointwise 95 % intervals; higher"
        " is better. Dense, black, is in every panel. Only methods that have two runs or more on"
        " every one of these tasks can be compared so.",
    )
