"""How an exported file reads the observations of a model of Stable-Baselines3."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space

from offline_prune.errors import InputError, UnsupportedExportError

__all__ = ["Reading", "reading_of"]

_DRAWN = 256
_WIDE = 1e6  # bounds beyond it are none: float32's largest, as in CartPole's velocities


@dataclass(frozen=True)
class Reading:
    """Observations of a space, as rows of one array.

    Attributes:
        space: What the model reads.
        shape: Of one observation of the file: the space's, (H, W, C) where ``channels_last``, or
            (n,) of a Dict, its parts one after the other, flat.
        channels_last: Whether the file reads images as environments make them, not (C, H, W).
    """

    space: Any
    shape: tuple[int, ...]
    channels_last: bool = False

    @property
    def parts(self) -> dict[str, Any]:
        """Name → space of the parts of a Dict, in order; of another space one without a name."""
        return dict(self.space.spaces) if isinstance(self.space, spaces.Dict) else {"": self.space}

    def rows(self, observations: Any) -> NDArray[Any]:
        """(N, *shape) of what ``model.predict`` takes.

        Raises:
            InputError: If a part of a Dict is missing, or has another shape.
        """
        if not isinstance(self.space, spaces.Dict):
            return np.asarray(observations)
        if not isinstance(observations, Mapping) or set(observations) != set(self.parts):
            raise InputError(
                f"observations are those of a Dict: a mapping of {', '.join(self.parts)} to arrays"
                " was expected."
            )
        flat = []
        for name, part in self.parts.items():
            array = np.asarray(observations[name])
            if is_image_space(part) and array.shape[1:] == (*part.shape[1:], part.shape[0]):
                array = np.moveaxis(array, -1, 1)
            if array.shape[1:] != part.shape:
                raise InputError(
                    f"observations[{name!r}] has the shape {array.shape}; (N,"
                    f" {', '.join(map(str, part.shape))}) was expected."
                )
            flat.append(array.reshape(len(array), -1))
        if len(set(map(len, flat))) > 1:
            raise InputError("observations are of different lengths, part by part.")
        return np.concatenate(flat, axis=1)

    def joined(self, named: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """(N, *shape) of arrays under the names of :attr:`parts`."""
        return self.rows(named if isinstance(self.space, spaces.Dict) else named[""])

    def as_asked(self, rows: NDArray[Any]) -> Any:
        """What ``model.predict`` takes, of (N, *shape)."""
        if not isinstance(self.space, spaces.Dict):
            return rows
        sizes = [math.prod(part.shape) for part in self.parts.values()]
        columns = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
        return {
            name: found.reshape(len(rows), *part.shape)
            for (name, part), found in zip(self.parts.items(), columns, strict=True)
        }

    def drawn(self) -> NDArray[np.float32]:
        """(256, *shape) to compare on where there are none: the same every time.

        Uniform between bounds; where there are none, of the standard normal distribution.
        """
        rng = np.random.default_rng(0)
        drawn = {}
        for name, part in self.parts.items():
            low, high = np.zeros(part.shape), np.ones(part.shape)
            if isinstance(part, spaces.Box):
                low, high = part.low.astype(np.float64), part.high.astype(np.float64)
            bounded = (np.abs(low) < _WIDE) & (np.abs(high) < _WIDE)
            wide = np.clip(rng.normal(size=(_DRAWN, *part.shape)), low, high)
            inside = rng.uniform(np.where(bounded, low, 0), np.where(bounded, high, 0), wide.shape)
            found = np.where(bounded, inside, wide)
            drawn[name] = found if np.issubdtype(part.dtype, np.floating) else found.round()
        return self.joined(drawn).astype(np.float32)

    @property
    def words(self) -> str | None:
        """How a file's comment says it; None where there is nothing to say."""
        if isinstance(self.space, spaces.Dict):
            listed = (
                f"{name} ({' x '.join(map(str, part.shape))})" for name, part in self.parts.items()
            )
            return f"the parts one after another, flat: {', '.join(listed)}"
        if is_image_space(self.space):
            return "rows, columns, channels" if self.channels_last else "channels, rows, columns"
        return None


def reading_of(space: Any, observations: Any) -> Reading:
    """How a file reads observations of a space.

    Args:
        space: A model's ``observation_space``.
        observations: Some of them, or None. The file reads images channels last if these are,
            which ``model.predict`` allows.

    Returns:
        The reading.

    Raises:
        UnsupportedExportError: If numbers of the space are no quantities (Discrete ones are made
            one-hot).
    """
    parts: Mapping[str, Any] = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    for name, part in parts.items():
        where = f"observation_space[{name!r}]" if name else "observation_space"
        if not isinstance(part, spaces.Box | spaces.MultiBinary):
            raise UnsupportedExportError(
                f"{where} is {type(part).__name__}, which Stable-Baselines3 makes one-hot, and no"
                " format here has a form of that. Train on gymnasium's FlattenObservation of it,"
                " a Box."
            )
    if isinstance(space, spaces.Dict):
        return Reading(space, (sum(math.prod(part.shape) for part in parts.values()),))
    shape = tuple(int(n) for n in space.shape)
    if is_image_space(space):
        channels, *image = shape
        if np.shape(observations)[1:] == (*image, channels) != shape:
            return Reading(space, (*image, channels), channels_last=True)
    return Reading(space, shape)
