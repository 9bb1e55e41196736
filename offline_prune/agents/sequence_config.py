"""What d3rlpy's config of a sequence model needs to know of the data, where nothing is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from d3rlpy.constants import PositionEncodingType
from d3rlpy.models import DefaultEncoderFactory, PixelEncoderFactory, VectorEncoderFactory

from offline_prune.data import Dataset
from offline_prune.errors import UnknownNameError

__all__ = ["sequence_fields"]

_WIDTH = 128
"""Of the transformer, as in d3rlpy's scripts: an encoder's output is a token."""

_MAX_TIMESTEP = 1000
"""d3rlpy's default."""


def sequence_fields(
    values: Mapping[str, Any], given: Mapping[str, Any], fields: Collection[str], data: Dataset
) -> dict[str, Any]:
    """Config fields of a sequence model, beside what is configured as for every algorithm.

    The encoder that embeds observations is one linear layer of 128 units (for images
    d3rlpy's convolutions below it) unless one is asked for; what short forms ask for ends
    without an activation, as in d3rlpy's scripts. The table of time steps has room for the
    longest episode.

    Args:
        values: Config field → value so far.
        given: The hyperparameters.
        fields: Fields of the d3rlpy config.
        data: The dataset.

    Returns:
        Config field → value; nothing for other algorithms.

    Raises:
        UnknownNameError: If there is no such position encoding.
    """
    if "context_size" not in fields:
        return {}
    found: dict[str, Any] = {}
    if "max_timestep" not in given:
        found["max_timestep"] = max(_MAX_TIMESTEP, data.metadata.longest_episode or 0)
    field = "actor_encoder_factory" if "actor_encoder_factory" in fields else "encoder_factory"
    if field not in given:
        found[field] = _embedding(values.get(field), len(data.metadata.observation_shape) == 3)
    encoding = given.get("position_encoding_type")
    if isinstance(encoding, str):
        names = [kind.value for kind in PositionEncodingType]
        if encoding not in names:
            raise UnknownNameError("position encoding", encoding, names)
        found["position_encoding_type"] = PositionEncodingType(encoding)
    return found


def _embedding(factory: Any, is_image: bool) -> Any:
    if factory is None or isinstance(factory, DefaultEncoderFactory):
        if is_image:
            return PixelEncoderFactory(feature_size=_WIDTH, exclude_last_activation=True)
        return VectorEncoderFactory([_WIDTH], exclude_last_activation=True)
    if isinstance(factory, VectorEncoderFactory | PixelEncoderFactory):
        return dataclasses.replace(factory, exclude_last_activation=True)
    return factory
