"""Diagnostics of masks and scores: plain data, each with a plot. One file a question."""

from __future__ import annotations

from offline_prune.diagnostics.inputs import InputUse, input_use
from offline_prune.diagnostics.layers import LayerReport, layer_report
from offline_prune.diagnostics.overlap import Overlap, overlap
from offline_prune.diagnostics.signal import GradientSignal, gradient_signal
from offline_prune.diagnostics.stability import Stability, score_stability

__all__ = [
    "GradientSignal",
    "InputUse",
    "LayerReport",
    "Overlap",
    "Stability",
    "gradient_signal",
    "input_use",
    "layer_report",
    "overlap",
    "score_stability",
]
