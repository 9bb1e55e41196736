"""From an environment's observations to the arrays that networks see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import gymnasium
import numpy as np
from numpy.typing import NDArray

from offline_prune.errors import DatasetError, UnknownNameError

__all__ = ["Images", "Leaf", "ObservationLayout", "array_space", "leaf_spaces"]

LeafSpace: TypeAlias = tuple[tuple[str | int, ...], gymnasium.Space[Any]]


@dataclass(frozen=True)
class Leaf:
    """One array of an observation.

    Attributes:
        path: Keys that lead to it; empty where the observation is the array itself.
        shape: Its shape in the environment.
        dtype: Its dtype in the environment.
        categories: First value and number of values of every entry that counts categories
            (Discrete, MultiDiscrete), in order; empty for arrays of numbers.
    """

    path: tuple[str | int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    categories: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        """Numbers that it becomes."""
        if self.categories:
            return sum(count for _, count in self.categories)
        return int(np.prod(self.shape))

    def encode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """A batch of it as vectors, categories one-hot.

        Args:
            values: (n, *shape).

        Returns:
            (n, :attr:`size`) float32; a category that is none of the space's is all zeros.
        """
        rows = values.reshape(len(values), -1)
        if not self.categories:
            return rows.astype(np.float32, copy=False)
        return np.concatenate(
            [
                rows[:, i, None] == np.arange(start, start + count)
                for i, (start, count) in enumerate(self.categories)
            ],
            axis=1,
        ).astype(np.float32)

    def of(self, observation: Any) -> Any:
        """The leaf of an observation, or of a batch of observations."""
        for key in self.path:
            observation = observation[key]
        return observation


Images: TypeAlias = Literal["auto", "channels_first", "channels_last", "vector"]
"""How arrays of three or four axes are read, and grey frames of bytes."""

_LEAST_SIDE = 16  # of a grey frame; smaller tables of bytes are boards and codes


@dataclass(frozen=True)
class ObservationLayout:
    """How raw observations become one array.

    - A Box is taken as it is, cast to float32; a scalar becomes a vector of one.
    - A Box of three axes holds an image, channels first in the result. Channels are told
      from height and width as the smaller of the outer axes; a tie counts as channels first.
      Bytes and booleans stay uint8, everything else becomes float32.
    - A Box of four axes of bytes is a stack of such images, one after another along the
      channels: (4, 84, 84, 3) becomes (12, 84, 84).
    - A Box of two axes of bytes, both of 16 or more, is one grey image: (1, 84, 84).
    - A Discrete or MultiDiscrete becomes one-hot, a MultiBinary a vector.
    - A Dict or Tuple of these is flattened and concatenated into one float32 vector,
      leaves in the order of gymnasium's own space: a Dict's keys sorted
      (``achieved_goal``, ``desired_goal``, ``observation``), a Tuple's by position.

    Attributes:
        leaves: The arrays of an observation, in order.
        shape: Shape of the result.
        channels_last: Whether images come with their channels last.
    """

    leaves: tuple[Leaf, ...]
    shape: tuple[int, ...]
    channels_last: bool = False

    @classmethod
    def of(cls, space: gymnasium.Space[Any], images: Images = "auto") -> ObservationLayout:
        """The layout of an observation space.

        Args:
            space: A Box, Discrete, MultiDiscrete or MultiBinary, or a Dict or Tuple of
                them, nested or not.
            images: ``"auto"`` decides as above; the others say where the channels of a
                single Box are, or that it is a vector whatever its axes.

        Returns:
            The layout.

        Raises:
            DatasetError: If the space holds anything else, or no image of that kind.
            UnknownNameError: If there is no such kind of images.
        """
        if images not in get_args(Images):
            raise UnknownNameError("kind of images", str(images), get_args(Images))
        leaves = tuple(_leaf(*found) for found in leaf_spaces(space))
        if not leaves or any(0 in leaf.shape for leaf in leaves):
            raise DatasetError(
                f"The observation space {space} holds no numbers. Expected a Box with at"
                " least one entry, or a Dict or Tuple of such."
            )
        size = sum(leaf.size for leaf in leaves)
        if images == "vector" or len(leaves) > 1:
            if images not in ("auto", "vector"):
                raise DatasetError(
                    f"images={images!r}, but the observation space {space} holds"
                    f" {len(leaves)} arrays, which become one vector. Expected a single Box."
                )
            return cls(leaves, (size,))
        (leaf,) = leaves
        shape = leaf.shape
        bytes_ = leaf.dtype.kind in "ub"
        if images != "auto" and len(shape) not in (3, 4):
            raise DatasetError(
                f"images={images!r}, but observations are of shape {shape}. Expected three axes,"
                " or four for a stack of images; images='auto' takes what there is."
            )
        if len(shape) == 2 and bytes_ and min(shape) >= _LEAST_SIDE:
            return cls(leaves, (1, *shape))
        if len(shape) == 3 or (len(shape) == 4 and (bytes_ or images != "auto")):
            first, _, last = shape[-3:]
            is_last = last < first if images == "auto" else images == "channels_last"
            channels, *sides = (last, *shape[-3:-1]) if is_last else shape[-3:]
            stack = shape[0] if len(shape) == 4 else 1
            return cls(leaves, (stack * channels, *sides), channels_last=is_last)
        return cls(leaves, (size,))

    def __str__(self) -> str:
        """What was decided: ``"images (84, 84, 3), channels last, as uint8 (3, 84, 84)"``."""
        if len(self.shape) != 3:
            kind = "a vector" if len(self.leaves) == 1 else f"{len(self.leaves)} arrays as a vector"
            return f"{kind} of {self.shape[0]}"
        found = self.leaves[0].shape
        order = "channels last" if self.channels_last else "channels first"
        what = {2: "grey images", 3: f"images, {order},", 4: f"stacks of images, {order},"}
        return f"{what[len(found)]} {found} as {self.dtype} {self.shape}"

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
                pixels = np.moveaxis(pixels, -1, -3)
            return np.ascontiguousarray(pixels, dtype=self.dtype).reshape(n, *self.shape)
        encoded = [leaf.encode(part) for leaf, part in zip(self.leaves, parts, strict=True)]
        return encoded[0] if len(encoded) == 1 else np.concatenate(encoded, axis=1)

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


def leaf_spaces(space: gymnasium.Space[Any], *path: str | int) -> list[LeafSpace]:
    """Everything in a space that is no Dict or Tuple.

    Args:
        space: The space.
        *path: Keys that lead to it.

    Returns:
        Keys that lead to it, and the space, one pair each in gymnasium's order.
    """
    inner: Any
    if isinstance(space, gymnasium.spaces.Dict):
        inner = space.spaces.items()
    elif isinstance(space, gymnasium.spaces.Tuple):
        inner = enumerate(space.spaces)
    else:
        return [(path, space)]
    return [leaf for key, child in inner for leaf in leaf_spaces(child, *path, key)]


def _leaf(path: tuple[str | int, ...], space: gymnasium.Space[Any]) -> Leaf:
    if isinstance(space, gymnasium.spaces.Box | gymnasium.spaces.MultiBinary):
        return Leaf(path, tuple(space.shape), np.dtype(space.dtype))
    if isinstance(space, gymnasium.spaces.Discrete):
        return Leaf(path, (), np.dtype(np.int64), ((int(space.start), int(space.n)),))
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        starts, counts = space.start.ravel().tolist(), space.nvec.ravel().tolist()
        categories = tuple(zip(starts, counts, strict=True))
        return Leaf(path, tuple(space.shape), np.dtype(np.int64), categories)
    where = "/".join(map(str, path)) or "the observation"
    raise DatasetError(
        f"The observation space has {type(space).__name__} at {where}; expected a"
        " Box, Discrete, MultiDiscrete or MultiBinary, or a Dict or Tuple of them. Wrap the"
        " environment with gymnasium's FlattenObservation and collect the dataset with it."
    )


def array_space(shape: tuple[int, ...], dtype: Any) -> gymnasium.spaces.Box:
    """The space of arrays that came without one.

    Args:
        shape: Of one observation.
        dtype: Of the arrays.

    Returns:
        Bytes as pixels, everything else as unbounded float32.
    """
    if dtype == np.uint8:
        return gymnasium.spaces.Box(0, 255, shape, np.uint8)
    return gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32)
