"""An encoder a part: what a Dict or Tuple of observations became one vector of, apart again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from d3rlpy.models import EncoderFactory, VectorEncoderFactory, register_encoder_factory
from d3rlpy.models.encoders import make_encoder_field
from d3rlpy.models.torch.encoders import Encoder, EncoderWithAction, compute_output_size
from d3rlpy.serializable_config import generate_list_config_field
from torch import Tensor, nn

from offline_prune.data.observations import Leaf, ObservationLayout, channels_first
from offline_prune.encoders.named import (
    check_image_fits,
    encoder_factory,
    fitting_image_encoder,
)
from offline_prune.encoders.vectors import vector_encoder_factory
from offline_prune.encoders.widths import layer_widths
from offline_prune.errors import InputError, UnknownNameError

__all__ = [
    "Parts",
    "PartsEncoder",
    "PartsEncoderFactory",
    "PartsEncoderWithAction",
    "parts_encoder_factory",
]

_WIDTHS = [64]


class Parts(nn.Module):
    """The features of every part, side by side.

    Attributes:
        encoders: One a part.
        sizes: Numbers of the vector that each part takes.
        shapes: Shape of each part: (n,), or of an image as the environment has it.
        channels_last: Whether the channels of each part come last.
        output_size: Length of all features together.
    """

    def __init__(
        self,
        encoders: Sequence[Encoder],
        shapes: Sequence[Sequence[int]],
        channels_last: Sequence[bool],
    ) -> None:
        """Put encoders side by side.

        Args:
            encoders: One a part, of vectors or of images, channels first.
            shapes: Shape of each part.
            channels_last: Whether the channels of each part come last.
        """
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.shapes, self.channels_last = list(map(tuple, shapes)), list(channels_last)
        self.sizes = [math.prod(shape) for shape in shapes]
        self.output_size = compute_output_size([(sum(self.sizes),)], self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, sum of the sizes) → (B, :attr:`output_size`)."""
        found = []
        for i, part in enumerate(x.split(self.sizes, dim=1)):
            shape = self.shapes[i]
            if len(shape) > 1:
                part = part.reshape(-1, *shape)
                if self.channels_last[i]:
                    part = part.movedim(-1, -3)
                part = part.reshape(part.shape[0], -1, *part.shape[-2:])
            found.append(self.encoders[i](part))
        return torch.cat(found, dim=1)


class PartsEncoder(Encoder):  # type: ignore[misc]
    """Parts to features, and layers that read all of them."""

    def __init__(self, parts: Parts, joint: Encoder) -> None:
        """Put layers on top of the parts.

        Args:
            parts: The parts.
            joint: Reads their features.
        """
        super().__init__()
        self.parts, self.joint = parts, joint

    def forward(self, x: Tensor) -> Tensor:
        """(B, n) → (B, features of :attr:`joint`)."""
        found: Tensor = self.joint(self.parts(x))
        return found


class PartsEncoderWithAction(EncoderWithAction):  # type: ignore[misc]
    """Parts to features; the layers that read all of them read the action too."""

    def __init__(self, parts: Parts, joint: EncoderWithAction) -> None:
        """Put layers on top of the parts and the action.

        Args:
            parts: The parts.
            joint: Reads their features and the action.
        """
        super().__init__()
        self.parts, self.joint = parts, joint

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """(B, n) and (B, actions) or (B, 1) → (B, features of :attr:`joint`)."""
        found: Tensor = self.joint(self.parts(x), action)
        return found


@dataclass
class PartsEncoderFactory(EncoderFactory):  # type: ignore[misc]
    """Makes encoders of several parts wherever d3rlpy takes an ``encoder_factory``.

    A Dict or Tuple of observations is one vector for d3rlpy
    (:class:`~offline_prune.data.ObservationLayout`). These encoders cut it into its parts,
    bring images into their shape with the channels first, encode every part on its own, and
    put the features side by side. ``joint`` reads them, with the action where there is one.
    Pixels are not scaled here, as in no encoder of d3rlpy's: an observation scaler does it.
    Importing :mod:`offline_prune` registers them with d3rlpy as ``"parts"``.

    Attributes:
        shapes: Shape of each part in the environment, in the order of the vector: of an image
            (H, W), (channels, H, W), (H, W, channels), or a stack of the latter two; of
            everything else (n,).
        channels_last: Whether the channels of each part come last.
        encoders: A factory a part: d3rlpy's or this package's.
        joint: What reads the features of all parts: an encoder of vectors.

    References:
        Raffin et al. 2021, Stable-Baselines3: reliable reinforcement learning
        implementations, JMLR 22: its ``CombinedExtractor`` concatenates an extractor a key
        in the same way.
    """

    shapes: list[list[int]] = field(default_factory=list)
    channels_last: list[bool] = field(default_factory=list)
    encoders: Sequence[EncoderFactory] = generate_list_config_field(EncoderFactory)()
    joint: EncoderFactory = make_encoder_field()  # noqa: RUF009 - a dataclass field

    @classmethod
    def of(
        cls,
        layout: ObservationLayout,
        encoders: Sequence[EncoderFactory],
        joint: EncoderFactory | None = None,
    ) -> PartsEncoderFactory:
        """The factory for a dataset's observations.

        Args:
            layout: How they became a vector.
            encoders: A factory each of its leaves, in order.
            joint: What reads the features; None for d3rlpy's two layers of 256.

        Returns:
            The factory.
        """
        return cls(
            [list(leaf.shape) if leaf.axes else [leaf.size] for leaf in layout.leaves],
            [leaf.axes == "channels_last" for leaf in layout.leaves],
            list(encoders),
            VectorEncoderFactory() if joint is None else joint,
        )

    def create(self, observation_shape: Sequence[int]) -> PartsEncoder:
        """Make an encoder of observations.

        Args:
            observation_shape: (n,), n the numbers of all parts together.

        Returns:
            The encoder.

        Raises:
            InputError: If the parts are not those of such a vector, or an image is too small
                for its encoder.
        """
        parts = self._parts(observation_shape)
        return PartsEncoder(parts, self.joint.create((parts.output_size,)))

    def create_with_action(
        self, observation_shape: Sequence[int], action_size: int, discrete_action: bool = False
    ) -> PartsEncoderWithAction:
        """Make an encoder of observations and actions.

        Args:
            observation_shape: (n,), n the numbers of all parts together.
            action_size: Length of the action vector, or number of discrete actions.
            discrete_action: Whether actions are indices.

        Returns:
            The encoder.

        Raises:
            InputError: As :meth:`create`.
        """
        parts = self._parts(observation_shape)
        joint = self.joint.create_with_action((parts.output_size,), action_size, discrete_action)
        return PartsEncoderWithAction(parts, joint)

    def _parts(self, observation_shape: Sequence[int]) -> Parts:
        sizes = [math.prod(shape) for shape in self.shapes]
        if tuple(observation_shape) != (sum(sizes),) or not (
            len(sizes) == len(self.channels_last) == len(self.encoders)
        ):
            raise InputError(
                f"This encoder of parts has the shapes {self.shapes}, {len(self.channels_last)}"
                f" channels_last and {len(self.encoders)} encoders; the observations have shape"
                f" {tuple(observation_shape)}. Expected one of each a part, and a vector of all"
                " their numbers: PartsEncoderFactory.of(data.metadata.observation_layout, …)."
            )
        encoders = []
        for factory, shape, last in zip(
            self.encoders, self.shapes, self.channels_last, strict=True
        ):
            seen = channels_first(shape, last) if len(shape) > 1 else tuple(shape)
            check_image_fits(factory, seen)
            encoders.append(factory.create(seen))
        return Parts(encoders, self.shapes, self.channels_last)

    @staticmethod
    def get_type() -> str:
        """The name under which d3rlpy stores it."""
        return "parts"


register_encoder_factory(PartsEncoderFactory)


def parts_encoder_factory(
    layout: ObservationLayout,
    parts: Mapping[str, Any] | None = None,
    hidden_units: Sequence[int] | None = None,
) -> PartsEncoderFactory:
    """The encoder of parts for a dataset's observations, as short forms describe it.

    Args:
        layout: How the observations became a vector.
        parts: Name of an array of the observation (its key in a Dict, its number in a Tuple;
            ``"camera/left"`` where they are nested) → its encoder: of an image a name that
            :func:`encoder_factory` knows; of everything else widths of layers, or a name that
            :func:`vector_encoder_factory` knows, of one layer of 64; or any factory. Images
            left out take ``"nature"``, those too small for it ``"small"``; everything else
            ``[64]``.
        hidden_units: Widths of the layers that read all features, and the action; None for
            d3rlpy's 256, 256.

    Returns:
        The factory.

    Raises:
        UnknownNameError: If there is no array or no encoder of a name.
        InputError: If the observation is a single array, or an encoder does not read its
            array.
    """
    if len(layout.leaves) < 2:
        raise InputError(
            f"encoder='parts' reads a Dict or Tuple of arrays; these observations are {layout}."
            " Images take encoder='impala', 'impoola', 'nature' or 'small', vectors hidden_units."
        )
    asked = {} if parts is None else parts
    if not isinstance(asked, Mapping):
        raise InputError(
            f"parts is a table of encoders, such as {{'{layout.leaves[0].name}': [64]}}, not"
            f" {parts!r}."
        )
    names = [leaf.name for leaf in layout.leaves]
    for name in asked:
        if name not in names:
            raise UnknownNameError("part of the observation", str(name), names)
    return PartsEncoderFactory.of(
        layout,
        [_part_encoder(leaf, asked.get(leaf.name)) for leaf in layout.leaves],
        None if hidden_units is None else VectorEncoderFactory(list(hidden_units)),
    )


def _part_encoder(leaf: Leaf, asked: Any) -> EncoderFactory:
    if isinstance(asked, EncoderFactory):
        return asked
    if leaf.axes is None:
        name, widths = (asked, _WIDTHS) if isinstance(asked, str) else ("plain", asked or _WIDTHS)
        return vector_encoder_factory(name, layer_widths(f"parts[{leaf.name!r}]", widths))
    if asked is not None:
        return encoder_factory(asked, 1, leaf.image_shape)
    return fitting_image_encoder(leaf.image_shape)
