"""The figures of a report. One file a figure; a new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.figures.ablation import ablation
from offline_prune.reporting.figures.canvas import Drawing
from offline_prune.reporting.figures.controls import controls
from offline_prune.reporting.figures.layer_densities import layer_densities
from offline_prune.reporting.figures.learning_curves import learning_curves
from offline_prune.reporting.figures.profiles import profiles
from offline_prune.reporting.figures.score_by_sparsity import score_by_sparsity
from offline_prune.reporting.figures.time_and_size import time_and_size

__all__ = ["FIGURES", "Drawing"]

FIGURES: Mapping[str, Callable[[Analysis], Drawing | None]] = {
    "score_by_sparsity": score_by_sparsity,
    "controls": controls,
    "ablation": ablation,
    "learning_curves": learning_curves,
    "layer_densities": layer_densities,
    "profiles": profiles,
    "time_and_size": time_and_size,
}
"""Name of the files → figure of a study; None where the study has nothing to show.

Examples:
    >>> from offline_prune.reporting import FIGURES
    >>> {"controls", "learning_curves", "score_by_sparsity"} <= set(FIGURES)
    True
"""
