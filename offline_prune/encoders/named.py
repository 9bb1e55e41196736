"""Image encoders by name, and whether an image is large enough for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from d3rlpy.models import EncoderFactory, PixelEncoderFactory

from offline_prune.base.arguments import whole_number
from offline_prune.encoders.impala import ImpalaEncoderFactory
from offline_prune.encoders.vectors import VECTOR_ENCODERS
from offline_prune.encoders.widths import plain_factory
from offline_prune.errors import InputError, UnknownNameError

__all__ = ["check_image_fits", "encoder_factory", "fitting_image_encoder"]

_NAMES = ("impala", "impoola", "nature", "small")


def encoder_factory(name: Any, width: Any, observation_shape: Sequence[int]) -> EncoderFactory:
    """The image encoder of a name.

    - ``"impala"``: :class:`ImpalaEncoderFactory`, the residual network of IMPALA.
    - ``"impoola"``: the same with every channel averaged before the linear layer.
    - ``"nature"``: d3rlpy's default, the DQN of Mnih et al. 2015: convolutions of 32
      filters 8×8 stride 4, 64 of 4×4 stride 2, 64 of 3×3; 512 features.
    - ``"small"``: MinAtar's own (Young, Tian 2019, arXiv 1903.03176): one convolution
      of 16 filters 3×3; 128 features.

    Args:
        name: One of these.
        width: Factor of the number of filters.
        observation_shape: (channels, H, W) of the images it will read.

    Returns:
        The factory.

    Raises:
        UnknownNameError: If there is no such encoder.
        InputError: If observations are vectors, images are too small, or ``width`` is
            not a whole number from 1 on.
    """
    if name not in _NAMES:
        raise UnknownNameError("encoder", str(name), [*_NAMES, "ofenet", "parts", *VECTOR_ENCODERS])
    width = whole_number("encoder_width", width, 1)
    if len(observation_shape) != 3:
        raise InputError(
            f"encoder={name!r} reads images of shape (channels, height, width); these"
            f" observations have shape {tuple(observation_shape)}. Vectors take"
            " hidden_units, or encoder='layer_norm' or 'simba', instead; a Dict with images"
            " encoder='parts'."
        )
    if name in ("impala", "impoola"):
        return ImpalaEncoderFactory(width=width, pooled=name == "impoola")
    if name == "small":
        factory = PixelEncoderFactory(filters=[[16, 3, 1]], feature_size=128)
    else:
        factory = PixelEncoderFactory()
    factory.filters = [[n * width, kernel, stride] for n, kernel, stride in factory.filters]
    check_image_fits(factory, observation_shape)
    return factory


def fitting_image_encoder(observation_shape: Sequence[int]) -> EncoderFactory:
    """``"nature"``, or ``"small"`` where images are too small for it.

    Args:
        observation_shape: (channels, height, width).

    Returns:
        The factory.

    Raises:
        InputError: If observations are no images, or too small for both.
    """
    try:
        return encoder_factory("nature", 1, observation_shape)
    except InputError:
        return encoder_factory("small", 1, observation_shape)


def check_image_fits(factory: EncoderFactory, observation_shape: Sequence[int]) -> None:
    """Refuse images smaller than what d3rlpy's convolutions can read.

    Args:
        factory: Of any kind; only d3rlpy's default and pixel ones are looked at.
        observation_shape: Of the observations it will read; vectors pass.

    Raises:
        InputError: If a convolution's kernel is larger than what reaches it.
    """
    factory = plain_factory(factory, is_image=True)
    if len(observation_shape) != 3 or not isinstance(factory, PixelEncoderFactory):
        return
    smallest = 1
    for _, kernel, stride in reversed(factory.filters):
        smallest = (smallest - 1) * stride + kernel
    height, width = observation_shape[1:]
    if min(height, width) < smallest:
        kernels = ", ".join(f"{k}×{k} stride {s}" for _, k, s in factory.filters)
        raise InputError(
            f"Convolutions of {kernels} need images of {smallest}×{smallest} at least;"
            f" these are {height}×{width}. Choose encoder='impala', or encoder='small'"
            " (one convolution of 3×3, as in the MinAtar paper)."
        )
