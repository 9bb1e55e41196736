"""The IMPALA residual image encoder, for d3rlpy; pooled, it is Impoola."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, starmap

import torch
from d3rlpy.models import EncoderFactory, register_encoder_factory
from d3rlpy.models.torch.encoders import Encoder, EncoderWithAction
from torch import Tensor, nn
from torch.nn import functional

from offline_prune.errors import InputError

__all__ = [
    "ImpalaEncoder",
    "ImpalaEncoderFactory",
    "ImpalaEncoderWithAction",
    "ImpalaStage",
    "ImpalaTorso",
    "ResidualBlock",
]


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(relu(x))))``, both convolutions 3×3 with padding 1."""

    def __init__(self, channels: int) -> None:
        """Make the two convolutions.

        Args:
            channels: Of input, of output and between.
        """
        super().__init__()
        self.first = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) → the same shape."""
        residual: Tensor = self.second(functional.relu(self.first(functional.relu(x))))
        return x + residual


class ImpalaStage(nn.Module):
    """A 3×3 convolution, a max-pooling that halves the image, two residual blocks."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Make the stage's five convolutions.

        Args:
            in_channels: Of the input.
            out_channels: Of everything after the first convolution.
        """
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.blocks = nn.Sequential(ResidualBlock(out_channels), ResidualBlock(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, out_channels, ⌈H / 2⌉, ⌈W / 2⌉)."""
        y: Tensor = self.blocks(self.pool(self.convolution(x)))
        return y


class ImpalaTorso(nn.Module):
    """The stages, a ReLU, and the channels flattened or averaged.

    Attributes:
        stages: One :class:`ImpalaStage` a number of filters.
        pooled: Whether every channel is averaged over the image.
        output_size: Length of what comes out: the flattened channels, or their number.
    """

    def __init__(
        self, observation_shape: Sequence[int], filters: Sequence[int], pooled: bool = False
    ) -> None:
        """Make the stages.

        Args:
            observation_shape: (channels, H, W).
            filters: Channels of each stage.
            pooled: Average every channel over the image instead of flattening.
        """
        super().__init__()
        channels, height, width = observation_shape
        self.stages = nn.Sequential(*starmap(ImpalaStage, pairwise([channels, *filters])))
        for _ in filters:
            height, width = (height + 1) // 2, (width + 1) // 2
        self.pooled = pooled
        self.output_size = filters[-1] * (1 if pooled else height * width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) → (B, output_size)."""
        y = functional.relu(self.stages(x))
        return y.mean(dim=(2, 3)) if self.pooled else y.flatten(start_dim=1)


class ImpalaEncoder(Encoder):  # type: ignore[misc]
    """Images to features: the torso, a linear layer, a ReLU."""

    def __init__(self, torso: ImpalaTorso, feature_size: int) -> None:
        """Make the linear layer.

        Args:
            torso: What it reads.
            feature_size: Length of the features.
        """
        super().__init__()
        self.torso = torso
        self.last = nn.Linear(torso.output_size, feature_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) float → (B, feature_size)."""
        return functional.relu(self.last(self.torso(x)))


class ImpalaEncoderWithAction(EncoderWithAction):  # type: ignore[misc]
    """Images and actions to features: the action joins the flattened (or averaged) channels."""

    def __init__(
        self, torso: ImpalaTorso, action_size: int, feature_size: int, discrete_action: bool = False
    ) -> None:
        """Make the linear layer.

        Args:
            torso: What it reads, beside the action.
            action_size: Length of the action vector, or number of discrete actions.
            feature_size: Length of the features.
            discrete_action: Whether actions are indices, which are one-hot encoded.
        """
        super().__init__()
        self.torso = torso
        self.last = nn.Linear(torso.output_size + action_size, feature_size)
        self._action_size = action_size
        self._discrete_action = discrete_action

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """(B, channels, H, W) float and (B, actions) or (B, 1) → (B, feature_size)."""
        if self._discrete_action:
            action = functional.one_hot(action.view(-1).long(), self._action_size).float()
        return functional.relu(self.last(torch.cat([self.torso(x), action], dim=1)))


@dataclass
class ImpalaEncoderFactory(EncoderFactory):  # type: ignore[misc]
    """Makes IMPALA encoders wherever d3rlpy takes an ``encoder_factory``.

    Three stages of 3×3 convolution, max-pooling (3×3, stride 2, padding 1) and two
    residual blocks; then ReLU, flatten, linear, ReLU: fifteen convolutions. ``pooled``
    makes it Impoola: every channel is averaged over the image instead of flattened, so
    that the linear layer reads ``filters[-1] · width`` numbers whatever the image's size.
    Importing :mod:`offline_prune` registers both with d3rlpy as ``"impala"``, so that
    d3rlpy opens files of an agent that has one.

    Attributes:
        filters: Channels of each stage.
        width: Factor of all ``filters``.
        feature_size: Units of the linear layer.
        pooled: Whether the linear layer reads the mean of every channel.

    References:
        Espeholt et al. 2018, IMPALA: Scalable distributed deep-RL with importance
        weighted actor-learner architectures, arXiv 1802.01561. Trumpp, Schäfftlein,
        Theile, Caccamo 2025, Impoola: the power of average pooling for image-based deep
        reinforcement learning, arXiv 2503.05546.
    """

    filters: list[int] = field(default_factory=lambda: [16, 32, 32])
    width: int = 1
    feature_size: int = 256
    pooled: bool = False

    def create(self, observation_shape: Sequence[int]) -> ImpalaEncoder:
        """Make an encoder of images.

        Args:
            observation_shape: (channels, H, W).

        Returns:
            The encoder.

        Raises:
            InputError: If observations are not images or a size is not positive.
        """
        return ImpalaEncoder(self._torso(observation_shape), self.feature_size)

    def create_with_action(
        self,
        observation_shape: Sequence[int],
        action_size: int,
        discrete_action: bool = False,
    ) -> ImpalaEncoderWithAction:
        """Make an encoder of images and actions.

        Args:
            observation_shape: (channels, H, W).
            action_size: Length of the action vector, or number of discrete actions.
            discrete_action: Whether actions are indices.

        Returns:
            The encoder.

        Raises:
            InputError: If observations are not images or a size is not positive.
        """
        torso = self._torso(observation_shape)
        return ImpalaEncoderWithAction(torso, action_size, self.feature_size, discrete_action)

    def _torso(self, observation_shape: Sequence[int]) -> ImpalaTorso:
        if len(observation_shape) != 3:
            raise InputError(
                "The IMPALA encoder reads images of shape (channels, height, width); these"
                f" observations have shape {tuple(observation_shape)}. Vectors take"
                " hidden_units instead."
            )
        if not self.filters or min(*self.filters, self.width, self.feature_size) < 1:
            raise InputError(
                "filters (one at least), width and feature_size of the IMPALA encoder are"
                f" whole numbers from 1 on, not {self.filters}, {self.width} and"
                f" {self.feature_size}."
            )
        filters = [filters * self.width for filters in self.filters]
        return ImpalaTorso(observation_shape, filters, self.pooled)

    @staticmethod
    def get_type() -> str:
        """The name under which d3rlpy stores it."""
        return "impala"


register_encoder_factory(ImpalaEncoderFactory)
