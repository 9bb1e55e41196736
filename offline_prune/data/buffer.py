"""A flat replay buffer: one array a field, mini-batches by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, Literal

import numpy as np
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import (
    BasicTrajectorySlicer,
    BasicTransitionPicker,
    BufferProtocol,
    DatasetInfo,
    Episode,
    EpisodeBase,
    PartialTrajectory,
    ReplayBuffer,
    ReplayBufferBase,
    Signature,
    TrajectoryMiniBatch,
    TrajectorySlicerProtocol,
    Transition,
    TransitionMiniBatch,
    TransitionPickerProtocol,
)
from d3rlpy.dataset.io import dump
from numpy.typing import NDArray

from offline_prune.errors import FixedDatasetError

__all__ = ["FlatReplayBuffer", "Semantics"]

Semantics = Literal["exact", "d3rlpy"]


class FlatReplayBuffer(ReplayBufferBase):  # type: ignore[misc]
    """A fixed dataset for d3rlpy, stored as one array a field.

    The T + 1 observations of an episode of T steps are stored once, one after another,
    in ``frames``; transition i goes from ``frames[rows[i]]`` to ``frames[rows[i] + 1]``.
    A mini-batch draws ``np.random.randint(N, size=B)`` from numpy's global random
    state, the same stream as d3rlpy's B single draws, and gathers by index.

    Two semantics:

    - ``"exact"``: every recorded transition, with its true next observation.
    - ``"d3rlpy"``: bit for bit what d3rlpy's own buffer yields: the last transition of
      a truncated episode is dropped, and a terminal one leads to a zero observation.

    Attributes:
        frames: (N + episodes, *observation shape) float32 or uint8.
        rows: (N,) index of each transition's observation in ``frames``.
        actions: (N, action size) float32, or (N, 1) int64.
        rewards: (N,) float32.
        terminals: (N,) float32.
        ends: (episodes,) index one past each episode's last transition.
    """

    def __init__(
        self,
        frames: NDArray[Any],
        actions: NDArray[Any],
        rewards: NDArray[np.float32],
        terminals: NDArray[np.float32],
        ends: NDArray[np.int64],
        *,
        discrete: bool,
        action_size: int,
        semantics: Semantics = "exact",
    ) -> None:
        """Wrap arrays; nothing is copied.

        Args:
            frames: (N + episodes, *observation shape) observations, episode by episode.
            actions: (N, action size) float32, or (N, 1) int64.
            rewards: (N,) float32.
            terminals: (N,) float32; 1 where the environment terminated.
            ends: (episodes,) index one past each episode's last transition.
            discrete: Whether actions are discrete.
            action_size: Length of the action vector, or number of actions.
            semantics: ``"exact"`` or ``"d3rlpy"``.
        """
        n = len(actions)
        self.frames, self.actions, self.rewards = frames, actions, rewards
        self.terminals, self.ends = terminals, ends
        self.semantics = semantics
        self._discrete, self._action_size = discrete, action_size
        self._episode = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
        self.rows = np.arange(n) + self._episode
        last = np.zeros(n, dtype=bool)
        last[ends - 1] = True
        # Where the next action is; the last step of an episode has none.
        self._next = np.where(last, n, np.arange(n) + 1)
        self._padded_actions = np.concatenate([actions, np.zeros_like(actions[:1])])
        terminal = terminals != 0
        if semantics == "d3rlpy":
            self._index = np.flatnonzero(~last | terminal)
        else:
            self._index = np.arange(n)
        self._zero_next = terminal if semantics == "d3rlpy" else None
        self._intervals = np.ones((1, 1), dtype=np.float32)
        self._episodes: list[EpisodeBase] | None = None

    def batch_at(self, indices: NDArray[np.int64]) -> TransitionMiniBatch:
        """The mini-batch of given transitions.

        Args:
            indices: (B,) transition numbers in [0, :attr:`transition_count`).

        Returns:
            d3rlpy's mini-batch; all fields float32.
        """
        i = self._index[indices]
        rows = self.rows[i]
        next_observations = self.frames[rows + 1].astype(np.float32, copy=False)
        if self._zero_next is not None:
            next_observations[self._zero_next[i]] = 0.0
        size = len(i)
        return TransitionMiniBatch(
            observations=self.frames[rows].astype(np.float32, copy=False),
            actions=self.actions[i].astype(np.float32, copy=False),
            rewards=self.rewards[i].reshape(size, 1),
            next_observations=next_observations,
            next_actions=self._padded_actions[self._next[i]].astype(np.float32, copy=False),
            terminals=self.terminals[i].reshape(size, 1),
            intervals=self._intervals.repeat(size, axis=0),
            transitions=_Transitions(self, indices),
        )

    def transition_at(self, index: int) -> Transition:
        """One transition.

        Args:
            index: In [0, :attr:`transition_count`).

        Returns:
            d3rlpy's transition; ``rewards_to_go`` runs to the end of the episode.
        """
        i = int(self._index[index])
        row = int(self.rows[i])
        zero_next = self._zero_next is not None and self._zero_next[i]
        following = self.frames[row + 1]
        end = int(self.ends[self._episode[i]])
        return Transition(
            observation=self.frames[row],
            action=self.actions[i],
            reward=self.rewards[i : i + 1],
            next_observation=np.zeros_like(following) if zero_next else following,
            next_action=self._padded_actions[self._next[i]],
            terminal=float(self.terminals[i]),
            interval=1,
            rewards_to_go=self.rewards[i:end].reshape(-1, 1),
        )

    def sample_transition(self) -> Transition:
        """Draw one transition with one draw of numpy's global random state."""
        return self.transition_at(np.random.randint(self.transition_count))

    def sample_transition_batch(self, batch_size: int) -> TransitionMiniBatch:
        """Draw a mini-batch with replacement.

        Args:
            batch_size: B.

        Returns:
            d3rlpy's mini-batch.
        """
        return self.batch_at(np.random.randint(self.transition_count, size=batch_size))

    def sample_trajectory(self, length: int) -> PartialTrajectory:
        """Draw a part of an episode that ends at a random transition.

        Args:
            length: Longest length.

        Returns:
            d3rlpy's partial trajectory.
        """
        episode, step = self.buffer[np.random.randint(self.transition_count)]
        return self.trajectory_slicer(episode, step, length)

    def sample_trajectory_batch(self, batch_size: int, length: int) -> TrajectoryMiniBatch:
        """Draw a mini-batch of parts of episodes.

        Args:
            batch_size: B.
            length: Longest length.

        Returns:
            d3rlpy's mini-batch.
        """
        return self.trajectories_at(
            np.random.randint(self.transition_count, size=batch_size), length
        )

    def trajectories_at(self, indices: NDArray[np.int64], length: int) -> TrajectoryMiniBatch:
        """The mini-batch of the stretches that end at given transitions.

        Args:
            indices: (B,) transition numbers in [0, :attr:`transition_count`).
            length: Longest length; shorter ones are padded in front.

        Returns:
            d3rlpy's mini-batch, cut by its slicer.
        """
        cut, pairs = self.trajectory_slicer, self.buffer
        return TrajectoryMiniBatch.from_partial_trajectories(
            [cut(*pairs[int(index)], length) for index in indices]
        )

    @property
    def episodes(self) -> Sequence[EpisodeBase]:
        """The episodes as d3rlpy's, views of the same arrays."""
        if self._episodes is None:
            starts = np.concatenate([[0], self.ends[:-1]])
            self._episodes = [
                Episode(
                    observations=self.frames[start + k : end + k],
                    actions=self.actions[start:end],
                    rewards=self.rewards[start:end].reshape(-1, 1),
                    terminated=bool(self.terminals[end - 1]),
                )
                for k, (start, end) in enumerate(zip(starts, self.ends, strict=True))
            ]
        return self._episodes

    def size(self) -> int:
        """Number of episodes."""
        return len(self.ends)

    @property
    def transition_count(self) -> int:
        """Number of transitions that can be drawn."""
        return len(self._index)

    @property
    def transition_bytes(self) -> int:
        """Bytes of one transition in a mini-batch, all float32."""
        observation = int(np.prod(self.frames.shape[1:]))
        # Observation and action twice, now and next; reward, terminal, interval.
        return int(4 * (2 * observation + 2 * self.actions.shape[1] + 3))

    @property
    def dataset_info(self) -> DatasetInfo:
        """Shapes, and the action space as the dataset declares it."""
        kind = ActionSpace.DISCRETE if self._discrete else ActionSpace.CONTINUOUS
        return DatasetInfo(
            observation_signature=_signature(self.frames),
            action_signature=_signature(self.actions),
            reward_signature=Signature([self.rewards.dtype], [(1,)]),
            action_space=kind,
            action_size=self._action_size,
        )

    @property
    def transition_picker(self) -> TransitionPickerProtocol:
        """d3rlpy's basic picker, for what reads :attr:`episodes`."""
        return BasicTransitionPicker()

    @property
    def trajectory_slicer(self) -> TrajectorySlicerProtocol:
        """d3rlpy's basic slicer."""
        return BasicTrajectorySlicer()

    @property
    def buffer(self) -> BufferProtocol:
        """The transitions as pairs of an episode and a step."""
        return _Pairs(self)

    def dump(self, f: BinaryIO) -> None:
        """Write the episodes in d3rlpy's HDF5 format.

        Args:
            f: A binary file open for writing and reading.
        """
        dump(self.episodes, f)

    @classmethod
    def load(cls, *args: Any, **kwargs: Any) -> ReplayBuffer:
        """d3rlpy's ``ReplayBuffer.load``; give the result to ``load_dataset``."""
        return ReplayBuffer.load(*args, **kwargs)

    @classmethod
    def from_episode_generator(cls, *args: Any, **kwargs: Any) -> ReplayBuffer:
        """d3rlpy's ``ReplayBuffer.from_episode_generator``."""
        return ReplayBuffer.from_episode_generator(*args, **kwargs)

    def append(self, *args: Any, **kwargs: Any) -> None:
        """Refused: the dataset is fixed.

        Raises:
            FixedDatasetError: Always.
        """
        raise FixedDatasetError(
            "This buffer holds a fixed dataset. To go on collecting, copy it into"
            " d3rlpy's own: d3rlpy.dataset.create_fifo_replay_buffer(limit,"
            " episodes=buffer.episodes)."
        )

    append_episode = append
    clip_episode = append


class _Transitions(Sequence[Transition]):
    """The transitions of a mini-batch, made only when something asks for them."""

    def __init__(self, buffer: FlatReplayBuffer, indices: NDArray[np.int64]) -> None:
        self._buffer, self._indices = buffer, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Transitions(self._buffer, self._indices[index])
        return self._buffer.transition_at(int(self._indices[index]))


class _Pairs(BufferProtocol):  # type: ignore[misc]
    """d3rlpy's view of a buffer: transition number → (episode, step)."""

    def __init__(self, buffer: FlatReplayBuffer) -> None:
        self._buffer = buffer

    def append(self, episode: EpisodeBase, index: int) -> None:
        self._buffer.append(episode, index)

    @property
    def episodes(self) -> Sequence[EpisodeBase]:
        return self._buffer.episodes

    @property
    def transition_count(self) -> int:
        return self._buffer.transition_count

    def __len__(self) -> int:
        return self._buffer.transition_count

    def __getitem__(self, index: int) -> tuple[EpisodeBase, int]:
        i = int(self._buffer._index[index])
        episode = int(self._buffer._episode[i])
        start = 0 if episode == 0 else int(self._buffer.ends[episode - 1])
        return self._buffer.episodes[episode], i - start


def _signature(array: NDArray[Any]) -> Signature:
    return Signature([array.dtype], [array.shape[1:]])
