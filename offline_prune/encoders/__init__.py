"""Encoders: image encoders that d3rlpy does not have, and all of them by name."""

from __future__ import annotations

from offline_prune.encoders.impala import ImpalaEncoderFactory
from offline_prune.encoders.named import check_image_fits, encoder_factory

__all__ = ["ImpalaEncoderFactory", "check_image_fits", "encoder_factory"]
