"""Transitions for the auxiliary loss, drawn without touching anybody's random state."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from d3rlpy.dataset import ReplayBuffer
from numpy.typing import NDArray

from offline_prune.data import Dataset
from offline_prune.data.buffer import FlatReplayBuffer
from offline_prune.errors import InputError

__all__ = ["Drawn", "FixedTransitions", "GrowingTransitions", "Transitions", "transitions_of"]


class Drawn(NamedTuple):
    """A mini-batch of real transitions, not scaled.

    Attributes:
        observations: (B, n).
        actions: (B, A), or (B, 1) numbers.
        next_observations: (B, n), what the environment returned.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    next_observations: NDArray[Any]


class Transitions(Protocol):
    """Where the mini-batches come from."""

    def draw(self, rng: np.random.Generator, batch_size: int) -> Drawn | None:
        """Draw with replacement; None while there is too little to draw from."""
        ...


class FixedTransitions:
    """All recorded transitions of a flat buffer, last ones of episodes too.

    They are read from the arrays: neither the zeros that d3rlpy's semantics puts after a
    termination nor the transitions it drops at a truncation matter here. Datasets made of
    d3rlpy's or D4RL's episodes do not know the observation after a termination and hold
    zeros or the observation before in its place: such transitions are left out.
    """

    def __init__(self, buffer: FlatReplayBuffer) -> None:
        """Read from a buffer.

        Args:
            buffer: The buffer.

        Raises:
            InputError: If it holds no transition whose next observation is known.
        """
        self._buffer = buffer
        ended = np.flatnonzero(buffer.terminals)
        before, after = (buffer.frames[buffer.rows[ended] + k] for k in (0, 1))
        axes = tuple(range(1, buffer.frames.ndim))
        known = np.ones(len(buffer.actions), dtype=bool)
        known[ended] = (after != 0).any(axis=axes) & (after != before).any(axis=axes)
        self._known = np.flatnonzero(known)
        if not len(self._known):
            raise InputError("The dataset holds no transition whose next observation is known.")

    def draw(self, rng: np.random.Generator, batch_size: int) -> Drawn:
        """Draw with replacement.

        Args:
            rng: Where the numbers come from.
            batch_size: B.

        Returns:
            B transitions.
        """
        i = self._known[rng.integers(len(self._known), size=batch_size)]
        rows, at = self._buffer.rows[i], self._buffer.observations_at
        return Drawn(at(rows), self._buffer.actions[i], at(rows + 1))


class GrowingTransitions:
    """The transitions of one of d3rlpy's replay buffers, which ``fit_online`` fills.

    d3rlpy does not keep the observation after a termination and puts zeros there: such
    transitions are left out.
    """

    def __init__(self, buffer: ReplayBuffer) -> None:
        """Read from a buffer, now and whenever it has grown.

        Args:
            buffer: The buffer.
        """
        self._buffer = buffer

    def draw(self, rng: np.random.Generator, batch_size: int) -> Drawn | None:
        """Draw with replacement.

        Args:
            rng: Where the numbers come from.
            batch_size: B.

        Returns:
            B transitions less those that terminated; None before the buffer holds more
            than B, which is when d3rlpy begins to train, or if fewer than two are left.

        Raises:
            InputError: If the buffer's transitions are longer than one step.
        """
        count = self._buffer.transition_count
        if count <= batch_size:
            return None
        picked = [
            self._buffer.transition_picker(*self._buffer.buffer[int(i)])
            for i in rng.integers(count, size=batch_size)
        ]
        if any(transition.interval != 1 for transition in picked):
            raise InputError(
                "The auxiliary loss predicts the observation one step ahead; this buffer's"
                " transition_picker makes longer steps. Pass a buffer with d3rlpy's"
                " BasicTransitionPicker."
            )
        kept = [transition for transition in picked if not transition.terminal]
        if len(kept) < 2:  # batch normalisation needs two
            return None
        return Drawn(
            np.stack([transition.observation for transition in kept]),
            np.stack([transition.action for transition in kept]),
            np.stack([transition.next_observation for transition in kept]),
        )


def transitions_of(data: Any) -> Transitions:
    """Find out how to draw from a dataset or a buffer.

    Args:
        data: What :func:`offline_prune.load_dataset` returned, its ``buffer``, or a
            replay buffer of d3rlpy's.

    Returns:
        Where mini-batches come from.

    Raises:
        InputError: If it is something else.
    """
    if isinstance(data, Dataset):
        data = data.buffer
    if isinstance(data, FlatReplayBuffer):
        return FixedTransitions(data)
    if isinstance(data, ReplayBuffer):
        return GrowingTransitions(data)
    raise InputError(
        "data is what load_dataset(...) returned or a d3rlpy ReplayBuffer, not"
        f" {type(data).__name__}."
    )
