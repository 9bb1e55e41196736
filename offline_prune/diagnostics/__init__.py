"""Diagnostics: plain data about masks and scores, and of networks while they train.

Those of masks and scores come with a plot.
"""

from __future__ import annotations

from offline_prune.diagnostics.masks.inputs import InputUse, input_use
from offline_prune.diagnostics.masks.layers import LayerReport, layer_report
from offline_prune.diagnostics.masks.overlap import Overlap, overlap
from offline_prune.diagnostics.masks.signal import GradientSignal, gradient_signal
from offline_prune.diagnostics.masks.stability import Stability, score_stability
from offline_prune.diagnostics.networks.dormant import dormant_fraction
from offline_prune.diagnostics.networks.effective_rank import srank
from offline_prune.diagnostics.networks.parameters import measured_sparsity, parameter_norm
from offline_prune.diagnostics.networks.q_values import q_norm, q_variance
from offline_prune.diagnostics.training.log_adapter import DiagnosticsAdapterFactory
from offline_prune.diagnostics.training.over_training import NetworkDiagnostics

__all__ = [
    "DiagnosticsAdapterFactory",
    "GradientSignal",
    "InputUse",
    "LayerReport",
    "NetworkDiagnostics",
    "Overlap",
    "Stability",
    "dormant_fraction",
    "gradient_signal",
    "input_use",
    "layer_report",
    "measured_sparsity",
    "overlap",
    "parameter_norm",
    "q_norm",
    "q_variance",
    "score_stability",
    "srank",
]
