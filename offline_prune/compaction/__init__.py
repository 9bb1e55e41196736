"""Compaction: dead units leave a network, and come back, without changing its function."""

from __future__ import annotations

from offline_prune.compaction.folding import fold_constant_units
from offline_prune.compaction.layers import fill_layer, fill_norm
from offline_prune.compaction.packing import Packing, dense_packings, sparse_packing

__all__ = [
    "Packing",
    "dense_packings",
    "fill_layer",
    "fill_norm",
    "fold_constant_units",
    "sparse_packing",
]
