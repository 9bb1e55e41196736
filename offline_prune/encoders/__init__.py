"""Encoders of images, of vectors and of both by name, those that d3rlpy does not have too."""

from __future__ import annotations

from offline_prune.base import quiet  # noqa: F401
from offline_prune.encoders.impala import ImpalaEncoderFactory
from offline_prune.encoders.named import check_image_fits, encoder_factory, fitting_image_encoder
from offline_prune.encoders.parts import PartsEncoderFactory, parts_encoder_factory
from offline_prune.encoders.vectors import (
    VECTOR_ENCODERS,
    check_reads_vectors,
    vector_encoder_factory,
)
from offline_prune.encoders.widths import layer_widths, plain_factory, widths_of, with_widths

__all__ = [
    "VECTOR_ENCODERS",
    "ImpalaEncoderFactory",
    "PartsEncoderFactory",
    "check_image_fits",
    "check_reads_vectors",
    "encoder_factory",
    "fitting_image_encoder",
    "layer_widths",
    "parts_encoder_factory",
    "plain_factory",
    "vector_encoder_factory",
    "widths_of",
    "with_widths",
]
