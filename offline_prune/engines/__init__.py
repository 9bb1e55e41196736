"""Engines: how pruned weights are held while d3rlpy trains."""

from __future__ import annotations

from offline_prune.engines.masked import MaskedEngine

__all__ = ["MaskedEngine"]
