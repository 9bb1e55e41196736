"""Encoders: image encoders that d3rlpy does not have, and all of them by name."""

from __future__ import annotations

from offline_prune.encoders.impala import ImpalaEncoderFactory
from offline_prune.encoders.named import check_image_fits, encoder_factory
from offline_prune.encoders.widths import plain_factory, widths_of, with_widths

__all__ = [
    "ImpalaEncoderFactory",
    "check_image_fits",
    "encoder_factory",
    "plain_factory",
    "widths_of",
    "with_widths",
]
