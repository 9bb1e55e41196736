"""From an environment's observations to the arrays that networks see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import gymnasium
import numpy as np
from numpy.typing import NDArray

from offline_prune.errors import DatasetError, UnknownNameError

__all__ = ["Images", "Leaf", "ObservationLayout", "array_space", "channels_first", "leaf_spaces"]

LeafSpace: TypeAlias = tuple[tuple[str | int, ...], gymnasium.Space[Any]]
Axes: TypeAlias = Literal["channels_first", "channels_last"]
Images: TypeAlias = Literal["auto", "channels_first", "channels_last", "vector"]
"""How arrays of three or four axes are read, and grey frames of bytes."""

_LEAST_SIDE = 16  # of a grey frame; smaller tables of bytes are boards and codes


@dataclass(frozen=True)
class Leaf:
    """One array of an observation.

    Attributes:
        path: Keys that lead to it; empty where the observation is the array itself.
        shape: Its shape in the environment.
        dtype: Its dtype in the environment.
        categories: First value and number of values of every entry that counts categories
            (Discrete, MultiDiscrete), in order; empty for arrays of numbers.
        axes: Where the channels of an image, or of a stack of images, are; None for what is
            no image.
    """

    path: tuple[str | int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    categories: tuple[tuple[int, int], ...] = ()
    axes: Axes | None = None

    @property
    def name(self) -> str:
        """Its keys, ``"camera/left"``; empty where the observation is the array itself."""
        return "/".join(map(str, self.path))

    @property
    def is_pixels(self) -> bool:
        """Whether it is an image of bytes (or booleans)."""
        return self.axes is not None and self.dtype.kind in "ub"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image; a stack's images one after another."""
        return channels_first(self.shape, self.axes == "channels_last")

    def as_image(self, images: Images) -> Leaf:
        """The same with its axes, where it is an image.

        Args:
            images: As :meth:`ObservationLayout.of` takes it.

        Returns:
            The leaf; this one if it is none.
        """
        shape, of_bytes = self.shape, self.dtype.kind in "ub"
        is_grey = len(shape) == 2 and of_bytes and min(shape) >= _LEAST_SIDE
        is_stack = len(shape) == 4 and (of_bytes or images != "auto")
        if images == "vector" or self.categories or not (is_grey or is_stack or len(shape) == 3):
            return self
        if images == "auto" or is_grey:
            told = not is_grey and shape[-1] < shape[-3]
            return replace(self, axes="channels_last" if told else "channels_first")
        return replace(self, axes=images)

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
      (``achieved_goal``, ``desired_goal``, ``observation``), a Tuple's by position. Images
      in it too, so that a pixel takes four bytes of memory where a single image's takes
      one; an encoder of parts (:class:`~offline_prune.encoders.PartsEncoderFactory`) reads
      them as images again.

    Attributes:
        leaves: The arrays of an observation, in order.
        shape: Shape of the result.

    Examples:
        >>> from gymnasium import spaces
        >>> from offline_prune.data import ObservationLayout
        >>> space = spaces.Dict({"position": spaces.Box(-1, 1, (2,)), "gear": spaces.Discrete(3)})
        >>> layout = ObservationLayout.of(space)
        >>> layout.shape
        (5,)
        >>> layout.flatten_one({"position": [0.5, 1.0], "gear": 2})
        array([0. , 0. , 1. , 0.5, 1. ], dtype=float32)
    """

    leaves: tuple[Leaf, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, space: gymnasium.Space[Any], images: Images = "auto") -> ObservationLayout:
        """The layout of an observation space.

        Args:
            space: A Box, Discrete, MultiDiscrete or MultiBinary, or a Dict or Tuple of
                them, nested or not.
            images: ``"auto"`` decides as above; the others say where the channels of
                images are, or that a Box is a vector whatever its axes.

        Returns:
            The layout.

        Raises:
            DatasetError: If the space holds anything else, or no image of that kind.
            UnknownNameError: If there is no such kind of images.
        """
        if images not in get_args(Images):
            raise UnknownNameError("kind of images", str(images), get_args(Images))
        leaves = tuple(_leaf(*found).as_image(images) for found in leaf_spaces(space))
        if not leaves or any(0 in leaf.shape for leaf in leaves):
            raise DatasetError(
                f"The observation space {space} holds no numbers. Expected a Box with at"
                " least one entry, or a Dict or Tuple of such."
            )
        if images not in ("auto", "vector") and all(
            len(leaf.shape) not in (3, 4) for leaf in leaves
        ):
            shapes = ", ".join(str(leaf.shape) for leaf in leaves)
            raise DatasetError(
                f"images={images!r}, but observations are of shape {shapes}. Expected three axes,"
                " or four for a stack of images; images='auto' takes what there is."
            )
        if len(leaves) == 1 and leaves[0].axes is not None:
            return cls(leaves, leaves[0].image_shape)
        return cls(leaves, (sum(leaf.size for leaf in leaves),))

    def __str__(self) -> str:
        """What was decided: ``"images (84, 84, 3), channels last, as uint8 (3, 84, 84)"``."""
        if len(self.shape) != 3:
            kind = "a vector" if len(self.leaves) == 1 else f"{len(self.leaves)} arrays as a vector"
            images = [f"{leaf.name} as {leaf.image_shape}" for leaf in self.images]
            tail = f", images among them: {', '.join(images)}" if images else ""
            return f"{kind} of {self.shape[0]}{tail}"
        found = self.leaves[0].shape
        order = str(self.leaves[0].axes).replace("_", " ")
        what = {2: "grey images", 3: f"images, {order},", 4: f"stacks of images, {order},"}
        return f"{what[len(found)]} {found} as {self.dtype} {self.shape}"

    @property
    def images(self) -> tuple[Leaf, ...]:
        """Images among several arrays that become one vector; a single image is none."""
        several = self.leaves if len(self.leaves) > 1 else ()
        return tuple(leaf for leaf in several if leaf.axes is not None)

    @property
    def pixel_columns(self) -> NDArray[np.bool_]:
        """Which entries of a vector are pixels, from 0 to 255: (size,)."""
        several = self.leaves if len(self.leaves) > 1 else ()
        columns = [np.full(leaf.size, leaf.is_pixels and leaf.dtype != bool) for leaf in several]
        return np.concatenate(columns) if columns else np.zeros(self.shape, dtype=bool)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 for pixels, float32 for everything else."""
        pixels = len(self.shape) == 3 and self.leaves[0].is_pixels
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
                name = leaf.name or "observations"
                raise ValueError(f"{name} has shape {part.shape}, expected {(n, *leaf.shape)}")
            parts.append(part)
        if len(self.shape) == 3:
            (pixels,) = parts
            if self.leaves[0].axes == "channels_last":
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


def channels_first(shape: Sequence[int], channels_last: bool) -> tuple[int, int, int]:
    """Shape of an image, or of a stack of images one after another, with its channels first.

    Args:
        shape: (H, W), (channels, H, W) or (H, W, channels), or of a stack of the latter two.
        channels_last: Whether its channels are last.

    Returns:
        (channels, H, W).
    """
    *stack, a, b, c = (1, *shape) if len(shape) == 2 else shape
    channels, height, width = (c, a, b) if channels_last else (a, b, c)
    return math.prod(stack) * channels, height, width


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
