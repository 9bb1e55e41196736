"""Widths of the layers that an encoder factory makes, and the same factory with others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from d3rlpy.models import (
    DefaultEncoderFactory,
    PixelEncoderFactory,
    SimBaEncoderFactory,
    VectorEncoderFactory,
)

from offline_prune.base.arguments import whole_number
from offline_prune.encoders.impala import ImpalaEncoderFactory
from offline_prune.errors import InputError

__all__ = ["layer_widths", "plain_factory", "widths_of", "with_widths"]


def layer_widths(name: str, value: Any) -> list[int]:
    """Check widths of hidden layers.

    Args:
        name: What they are given as.
        value: The widths.

    Returns:
        The same as a list of Python's ``int``.

    Raises:
        InputError: If there is none, or one is not a whole number from 1 on.
    """
    if isinstance(value, str) or not isinstance(value, Iterable) or not (found := list(value)):
        raise InputError(f"{name} is a list of widths such as [256, 256], not {value!r}.")
    return [whole_number(f"{name}[{i}]", width, 1) for i, width in enumerate(found)]


def plain_factory(factory: Any, is_image: bool) -> Any:
    """d3rlpy's default factory as the one that it stands for.

    Args:
        factory: An encoder factory of any kind.
        is_image: Whether observations are images.

    Returns:
        A vector or pixel factory of the same options; another factory as it is.
    """
    if not isinstance(factory, DefaultEncoderFactory):
        return factory
    options = {f.name: getattr(factory, f.name) for f in dataclasses.fields(factory)}
    return (PixelEncoderFactory if is_image else VectorEncoderFactory)(**options)


def widths_of(factory: Any) -> tuple[int, ...]:
    """Widths of the hidden layers that an encoder factory makes.

    Args:
        factory: d3rlpy's vector, SimBa or pixel encoder factory, or IMPALA's.

    Returns:
        Units a layer; for images the filters of the convolutions (of IMPALA's stages) and
        the feature size; of SimBa the feature size and the hidden size of its blocks.
    """
    if isinstance(factory, VectorEncoderFactory):
        return tuple(factory.hidden_units)
    if isinstance(factory, SimBaEncoderFactory):
        return (factory.feature_size, factory.hidden_size)
    if isinstance(factory, ImpalaEncoderFactory):
        return (*(n * factory.width for n in factory.filters), factory.feature_size)
    return (*(filters for filters, *_ in factory.filters), factory.feature_size)


def with_widths(factory: Any, widths: Sequence[int]) -> Any:
    """The same encoder factory with other widths.

    Args:
        factory: d3rlpy's vector, SimBa or pixel encoder factory, or IMPALA's.
        widths: As :func:`widths_of` returns them.

    Returns:
        A new factory; kernels, strides, blocks, activation and normalisation are the same.
    """
    if isinstance(factory, VectorEncoderFactory):
        return dataclasses.replace(factory, hidden_units=list(widths))
    if isinstance(factory, SimBaEncoderFactory):
        feature_size, hidden_size = widths
        return dataclasses.replace(factory, feature_size=feature_size, hidden_size=hidden_size)
    *filters, feature_size = widths
    if isinstance(factory, ImpalaEncoderFactory):
        return dataclasses.replace(factory, filters=filters, width=1, feature_size=feature_size)
    shapes = [shape for _, *shape in factory.filters]
    return dataclasses.replace(
        factory,
        filters=[[n, *shape] for n, shape in zip(filters, shapes, strict=True)],
        feature_size=feature_size,
    )
