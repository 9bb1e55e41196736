"""From an environment's observations to the arrays that networks see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from offline_prune.errors import DatasetError

__all__ = ["Leaf", "ObservationLayout"]


@dataclass(frozen=True)
class Leaf:
    """One array of an observation.

    Attributes:
        path: Keys that lead to it; empty where the observation is the array itself.
        shape: Its shape in the environment.
        dtype: Its dtype in the environment.
    """

    path: tuple[str | int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def of(self, observation: Any) -> Any:
        """The leaf of an observation, or of a batch of observations."""
        for key in self.path:
            observation = observation[key]
        return observation


@dataclass(frozen=True)
class ObservationLayout:
    """How raw observations become one array.

    - A Box is taken as it is, cast to float32; a scalar becomes a vector of one.
    - A Box of uint8 or booleans with three dimensions holds pixels: uint8, channels
      first. Channels are told from height and width as the smaller of the outer
      dimensions; a tie counts as channels first.
    - A Dict or Tuple of Boxes is flattened and concatenated into one float32 vector,
      leaves in the order of gymnasium's own space: a Dict's keys sorted
      (``achieved_goal``, ``desired_goal``, ``observation``), a Tuple's by position.

    Attributes:
        leaves: The arrays of an observation, in order.
        shape: Shape of the result.
        channels_last: Whether pixels come with their channels last.
    """

    leaves: tuple[Leaf, ...]
    shape: tuple[int, ...]
    channels_last: bool = False

    @classmethod
    def of(cls, space: gymnasium.Space[Any]) -> ObservationLayout:
        """The layout of an observation space.

        Args:
            space: A Box, or a Dict or Tuple of Boxes, nested or not.

        Returns:
            The layout.

        Raises:
            DatasetError: If the space holds anything else.
        """
        leaves = tuple(_leaves(space, ()))
        if not leaves or any(0 in leaf.shape for leaf in leaves):
            raise DatasetError(
                f"The observation space {space} holds no numbers. Expected a Box with at"
                " least one entry, or a Dict or Tuple of such."
            )
        if len(leaves) == 1 and _is_pixels(leaves[0]):
            first, height, last = leaves[0].shape
            if last < first:
                return cls(leaves, (last, first, height), channels_last=True)
            return cls(leaves, leaves[0].shape)
        if len(leaves) == 1 and not leaves[0].path and len(leaves[0].shape) == 3:
            return cls(leaves, leaves[0].shape)
        size = sum(int(np.prod(leaf.shape)) for leaf in leaves)
        return cls(leaves, (size,))

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 for pixels, float32 for everything else."""
        pixels = len(self.shape) == 3 and self.leaves[0].dtype.kind in "ub"
        return np.dtype(np.uint8) if pixels else np.dtype(np.float32)

    def flatten(self, observations: Any, n: int) -> NDArray[Any]:
        """Turn a batch of raw observations into one array.

        Args:
            observations: Arrays of shape (n, …) in the structure of the space.
            n: Number of observations.

        Returns:
            Array of shape (n, *shape), uint8 or float32.

        Raises:
            ValueError: If a leaf has another shape than the space says.
        """
        parts = []
        for leaf in self.leaves:
            part = np.asarray(leaf.of(observations))
            if part.shape != (n, *leaf.shape):
                name = "/".join(map(str, leaf.path)) or "observations"
                raise ValueError(f"{name} has shape {part.shape}, expected {(n, *leaf.shape)}")
            parts.append(part)
        if len(self.shape) == 3:
            (pixels,) = parts
            if self.channels_last:
                pixels = pixels.transpose(0, 3, 1, 2)
            return np.ascontiguousarray(pixels, dtype=self.dtype)
        if len(parts) == 1:
            return parts[0].reshape(n, -1).astype(np.float32, copy=False)
        return np.concatenate(
            [part.reshape(n, -1).astype(np.float32, copy=False) for part in parts],
            axis=1,
        )

    def flatten_one(self, observation: Any) -> NDArray[Any]:
        """Turn one raw observation, as an environment returns it, into an array.

        Args:
            observation: In the structure of the space.

        Returns:
            Array of shape :attr:`shape`.
        """
        flat: NDArray[Any] = self.flatten(_batched(observation), 1)[0]
        return flat


def _batched(observation: Any) -> Any:
    if isinstance(observation, Mapping):
        return {key: _batched(value) for key, value in observation.items()}
    if isinstance(observation, tuple):
        return tuple(_batched(value) for value in observation)
    return np.asarray(observation)[None]


def _leaves(space: gymnasium.Space[Any], path: tuple[str | int, ...]) -> Sequence[Leaf]:
    if isinstance(space, gymnasium.spaces.Box):
        return [Leaf(path, tuple(space.shape), np.dtype(space.dtype))]
    if isinstance(space, gymnasium.spaces.Dict):
        inner: Any = space.spaces.items()
    elif isinstance(space, gymnasium.spaces.Tuple):
        inner = enumerate(space.spaces)
    else:
        where = "/".join(map(str, path)) or "the observation"
        raise DatasetError(
            f"The observation space has {type(space).__name__} at {where}; expected a"
            " Box, or a Dict or Tuple of Boxes. Wrap the environment with gymnasium's"
            " FlattenObservation and collect the dataset with it."
        )
    return [leaf for key, child in inner for leaf in _leaves(child, (*path, key))]


def _is_pixels(leaf: Leaf) -> bool:
    return len(leaf.shape) == 3 and leaf.dtype.kind in "ub"
