"""A loaded dataset: flat arrays, metadata, and a replay buffer for d3rlpy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.data.buffer import FlatReplayBuffer, Semantics
from offline_prune.data.metadata import DatasetMetadata

__all__ = ["Dataset"]


@dataclass(frozen=True)
class Dataset:
    """A fixed offline dataset, one row a transition.

    Attributes:
        frames: (N + episodes, *observation shape) all observations, T + 1 an episode.
        actions: (N, action size) float32, or (N, 1) int64 counted from 0.
        rewards: (N,) float32.
        terminals: (N,) float32; 1 where the environment terminated.
        timeouts: (N,) bool; true where an episode was cut off.
        ends: (episodes,) index one past each episode's last transition.
        metadata: Spaces, environment, reference scores.
    """

    frames: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminals: NDArray[np.float32]
    timeouts: NDArray[np.bool_]
    ends: NDArray[np.int64]
    metadata: DatasetMetadata
    semantics: Semantics = "exact"

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self.actions)

    @property
    def observations(self) -> NDArray[Any]:
        """(N, *observation shape), float32 or uint8; a new array at every call."""
        found: NDArray[Any] = self.frames[self.buffer.rows]
        return found

    @property
    def next_observations(self) -> NDArray[Any]:
        """(N, *observation shape), the true next ones; a new array at every call."""
        found: NDArray[Any] = self.frames[self.buffer.rows + 1]
        return found

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
        )

    def with_semantics(self, semantics: Semantics) -> Dataset:
        """The same dataset with another buffer.

        Args:
            semantics: ``"exact"``, or ``"d3rlpy"`` for stock d3rlpy's transitions.

        Returns:
            A dataset that shares the arrays.
        """
        return replace(self, semantics=semantics)
