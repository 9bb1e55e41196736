"""Encoders of vectors by name: plain layers, layers with layer normalisation, SimBa."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from d3rlpy.models import EncoderFactory, SimBaEncoderFactory, VectorEncoderFactory

from offline_prune.base.arguments import whole_number
from offline_prune.errors import InputError, UnknownNameError

__all__ = ["VECTOR_ENCODERS", "check_reads_vectors", "vector_encoder_factory"]

VECTOR_ENCODERS = ("layer_norm", "plain", "simba")
"""Names of encoders that read vectors."""


def vector_encoder_factory(
    name: str,
    hidden_units: Sequence[int] | None = None,
    simba: Mapping[str, Any] | None = None,
) -> EncoderFactory:
    """The encoder of vectors of a name; all of them are d3rlpy's own.

    - ``"plain"``: linear layers with ReLU.
    - ``"layer_norm"``: the same with layer normalisation after every ReLU.
    - ``"simba"``: a linear layer, residual blocks of layer normalisation and two linear
      layers with a ReLU between, and layer normalisation at the end.

    Args:
        name: One of these.
        hidden_units: Widths of the layers of the first two; None for d3rlpy's 256, 256.
        simba: ``feature_size`` (units of the residual stream), ``hidden_size`` (units
            inside a block) and ``n_blocks`` of SimBa; those left out are d3rlpy's 256,
            1024 and 1.

    Returns:
        The factory.

    Raises:
        UnknownNameError: If there is no such encoder, or SimBa has no such size.
        InputError: If a size is not a whole number from 1 on.

    References:
        Ba, Kiros, Hinton 2016, Layer normalization, arXiv 1607.06450. Lee et al. 2024,
        SimBa: simplicity bias for scaling up parameters in deep reinforcement learning,
        arXiv 2410.09754.
    """
    if name not in VECTOR_ENCODERS:
        raise UnknownNameError("encoder of vectors", str(name), VECTOR_ENCODERS)
    if name == "simba":
        return _simba({} if simba is None else simba)
    widths = {} if hidden_units is None else {"hidden_units": list(hidden_units)}
    return VectorEncoderFactory(**widths, use_layer_norm=name == "layer_norm")


def check_reads_vectors(asked: str, observation_shape: Sequence[int]) -> None:
    """Refuse observations that are no vectors.

    Args:
        asked: What asks for an encoder of vectors, ``"critic_encoder='simba'"``.
        observation_shape: Of the observations it would read.

    Raises:
        InputError: If they are not vectors.
    """
    if len(observation_shape) != 1:
        raise InputError(
            f"{asked} reads vectors; these observations have shape {tuple(observation_shape)}."
            " Images take encoder='impala', 'impoola', 'nature' or 'small' instead."
        )


def _simba(sizes: Any) -> SimBaEncoderFactory:
    known = [field.name for field in dataclasses.fields(SimBaEncoderFactory)]
    if not isinstance(sizes, Mapping):
        raise InputError(f"simba is a table of {', '.join(known)}, not {sizes!r}.")
    for size in sizes:
        if size not in known:
            raise UnknownNameError("size of SimBa", str(size), known)
    return SimBaEncoderFactory(
        **{size: whole_number(f"simba.{size}", n, 1) for size, n in sizes.items()}
    )
