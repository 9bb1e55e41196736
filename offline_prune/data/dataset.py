"""A loaded dataset: flat arrays, metadata, and a replay buffer for d3rlpy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.base.arguments import finite_number, whole_number
from offline_prune.data.buffer import FlatReplayBuffer, Semantics
from offline_prune.data.metadata import DatasetMetadata
from offline_prune.data.picking import SINGLE, Picking
from offline_prune.errors import InputError

__all__ = ["Dataset"]


@dataclass(frozen=True)
class Dataset:
    """A fixed offline dataset, one row a transition.

    Attributes:
        frames: (N + episodes, *frame shape) all frames, T + 1 an episode; a frame is an
            observation unless :attr:`picking` stacks several.
        actions: (N, action size) float32, or (N, 1) int64 counted from 0.
        rewards: (N,) float32.
        terminals: (N,) float32; 1 where the environment terminated.
        timeouts: (N,) bool; true where an episode was cut off.
        ends: (episodes,) index one past each episode's last transition.
        metadata: Spaces, environment, reference scores.
        semantics: Which transitions the buffer has.
        picking: How its transitions are made of steps.
        final_actions: (episodes, …) the action after each episode's last transition, where
            it is known; None where there is none.

    Examples:
        >>> from offline_prune import load_dataset
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> data.observations.shape, data.actions.shape, data.next_observations.shape
        ((30000, 3), (30000, 1), (30000, 3))
        >>> data.episode_returns.shape, data.buffer.transition_count
        ((150,), 30000)
    """

    frames: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminals: NDArray[np.float32]
    timeouts: NDArray[np.bool_]
    ends: NDArray[np.int64]
    metadata: DatasetMetadata
    semantics: Semantics = "exact"
    picking: Picking = SINGLE
    final_actions: NDArray[Any] | None = None

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self.actions)

    @property
    def observations(self) -> NDArray[Any]:
        """(N, *observation shape), float32 or uint8; a new array at every call."""
        return self.buffer.observations_at(self.buffer.rows)

    @property
    def next_observations(self) -> NDArray[Any]:
        """(N, *observation shape), one step on, the true ones; a new array at every call."""
        return self.buffer.observations_at(self.buffer.rows + 1)

    @property
    def starts(self) -> NDArray[np.int64]:
        """(episodes,) index of each episode's first transition."""
        return np.concatenate([[0], self.ends[:-1]])

    @property
    def episode_returns(self) -> NDArray[np.float64]:
        """(episodes,) undiscounted return of each episode."""
        returns: NDArray[np.float64] = np.add.reduceat(self.rewards.astype(np.float64), self.starts)
        return returns

    @cached_property
    def buffer(self) -> FlatReplayBuffer:
        """The dataset for d3rlpy: ``algo.fit(data.buffer, …)``."""
        return FlatReplayBuffer(
            self.frames,
            self.actions,
            self.rewards,
            self.terminals,
            self.ends,
            discrete=self.metadata.action_kind == "discrete",
            action_size=self.metadata.action_size,
            semantics=self.semantics,
            picking=self.picking,
            final_actions=self.final_actions,
        )

    def with_semantics(self, semantics: Semantics) -> Dataset:
        """The same dataset with another buffer.

        Args:
            semantics: ``"exact"``, or ``"d3rlpy"`` for stock d3rlpy's transitions.

        Returns:
            A dataset that shares the arrays.
        """
        return replace(self, semantics=semantics)

    def with_frame_stack(self, frames: int) -> Dataset:
        """The same dataset with stacked frames for observations, newest last.

        Frames stay in memory once; stacks are made when a mini-batch is drawn. Zeros stand
        for those before an episode's first, as in d3rlpy. Evaluations stack in the same way,
        and an exported policy reads such stacks.

        Args:
            frames: Frames an observation; 1 for none stacked.

        Returns:
            A dataset that shares the arrays. Images are stacked along their channels,
            vectors one after another.

        Raises:
            InputError: If it is not a whole number from 1 on, or frames are Dicts or Tuples
                with images.
        """
        frames = whole_number("frames", frames, 1)
        if frames > 1 and self.metadata.observation_layout.images:
            raise InputError(
                f"frames={frames} stacks whole observations, and these hold images beside other"
                " arrays. Stack in the environment (gymnasium.wrappers.FrameStackObservation"
                " of the image) and collect the dataset with it."
            )
        picking = replace(self.picking, frames=frames)
        metadata = replace(
            self.metadata,
            frame_stack=frames,
            observation_shape=picking.stacked(self.frames.shape[1:]),
        )
        return replace(self, picking=picking, metadata=metadata)

    def with_n_steps(self, steps: int, gamma: float) -> Dataset:
        """The same dataset with transitions of several steps.

        The reward of a transition is ``Σ_{k < n} γ^k r_{t + k}``, its next observation that
        of n steps on; n is ``steps``, or fewer up to the episode's end. d3rlpy's algorithms
        discount what follows by ``γ^n`` (a mini-batch's ``intervals``).

        Args:
            steps: Steps a transition; 1 for single ones.
            gamma: γ, in [0, 1]: the algorithm's.

        Returns:
            A dataset that shares the arrays.

        Raises:
            InputError: If ``steps`` is not a whole number from 1 on, or ``gamma`` not in
                [0, 1].
        """
        steps = whole_number("steps", steps, 1)
        gamma = finite_number("gamma", gamma)
        if not 0.0 <= gamma <= 1.0:
            raise InputError(f"gamma is a number in [0, 1], not {gamma!r}.")
        return replace(self, picking=replace(self.picking, steps=steps, gamma=gamma))
