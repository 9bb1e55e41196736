"""Weights of float16, of any format."""

from __future__ import annotations

import torch
from torch import Tensor

from offline_prune.errors import UnsupportedExportError

__all__ = ["as_half"]


def as_half(weight: Tensor) -> Tensor:
    """Weights rounded to float16; those that become zero leave.

    Raises:
        UnsupportedExportError: If one is too large for it.
    """
    rounded = weight.to(torch.float16).float()
    if not bool(torch.isfinite(rounded).all()):
        raise UnsupportedExportError(
            f"The largest weight is {float(weight.abs().max()):.3g}, and float16 ends at 65504."
            ' Export with dtype="float32".'
        )
    return rounded
