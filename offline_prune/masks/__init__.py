"""Masks: from scores to the weights that stay."""

from __future__ import annotations

from offline_prune.masks.allocation import ALLOCATIONS, allocate, kept_count
from offline_prune.masks.connectivity import connected_part, has_path
from offline_prune.masks.mask import Mask
from offline_prune.masks.structures import STRUCTURES

__all__ = [
    "ALLOCATIONS",
    "STRUCTURES",
    "Mask",
    "allocate",
    "connected_part",
    "has_path",
    "kept_count",
]
