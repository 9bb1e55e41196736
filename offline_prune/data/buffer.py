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
    FrameStackTransitionPicker,
    MultiStepTransitionPicker,
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

from offline_prune.data.picking import SINGLE, Picking, discounted_returns
from offline_prune.errors import FixedDatasetError

__all__ = ["FlatReplayBuffer", "Semantics"]

Semantics = Literal["exact", "d3rlpy"]


class FlatReplayBuffer(ReplayBufferBase):  # type: ignore[misc]
    """A fixed dataset for d3rlpy, stored as one array a field.

    The T + 1 observations of an episode of T steps are stored once, one after another,
    in ``frames``; transition i goes from ``frames[rows[i]]`` to ``frames[rows[i] + 1]``, or
    to a later one with a picking of several steps. Stacks of frames are made of single
    ones when a mini-batch is drawn.
    A mini-batch draws ``np.random.randint(N, size=B)`` from numpy's global random
    state, the same stream as d3rlpy's B single draws, and gathers by index.

    Two semantics:

    - ``"exact"``: every recorded transition, with its true next observation.
    - ``"d3rlpy"``: bit for bit what d3rlpy's own buffer yields: the last transition of
      a truncated episode is dropped, and a terminal one leads to a zero observation.

    Attributes:
        frames: (N + episodes, *frame shape) float32 or uint8; a frame is an observation
            unless the picking stacks several.
        rows: (N,) index of each transition's observation in ``frames``.
        actions: (N, action size) float32, or (N, 1) int64.
        rewards: (N,) float32.
        terminals: (N,) float32.
        ends: (episodes,) index one past each episode's last transition.
        picking: How transitions are made of steps.

    Examples:
        >>> from offline_prune import load_dataset
        >>> buffer = load_dataset("pendulum/mixture-v0").buffer
        >>> buffer.transition_count, buffer.size()
        (30000, 150)
        >>> batch = buffer.sample_transition_batch(256)  # what d3rlpy's fit calls
        >>> batch.observations.shape, batch.rewards.shape
        ((256, 3), (256, 1))
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
        picking: Picking = SINGLE,
        final_actions: NDArray[Any] | None = None,
    ) -> None:
        """Wrap arrays; nothing is copied.

        Args:
            frames: (N + episodes, *frame shape) frames, episode by episode.
            actions: (N, action size) float32, or (N, 1) int64.
            rewards: (N,) float32.
            terminals: (N,) float32; 1 where the environment terminated.
            ends: (episodes,) index one past each episode's last transition.
            discrete: Whether actions are discrete.
            action_size: Length of the action vector, or number of actions.
            semantics: ``"exact"`` or ``"d3rlpy"``.
            picking: How transitions are made of steps.
            final_actions: (episodes, …) the action after each episode's last transition,
                where it is known; None for zeros.
        """
        n = len(actions)
        self.frames, self.actions, self.rewards = frames, actions, rewards
        self.terminals, self.ends = terminals, ends
        self.semantics, self.picking = semantics, picking
        self._discrete, self._action_size = discrete, action_size
        lengths, number = np.diff(ends, prepend=0), np.arange(len(ends))
        self._episode = np.repeat(number, lengths)
        self.rows = np.arange(n) + self._episode
        self._first_rows = ends - lengths + number  # of each episode in frames
        terminated = terminals[ends - 1] != 0
        # What d3rlpy does not know of an episode: where its last step led to.
        known = ends - (~terminated if semantics == "d3rlpy" else 0)
        left = np.repeat(known, lengths) - np.arange(n)
        ahead = np.minimum(left, picking.steps)
        returns = rewards
        if picking.steps > 1:
            returns = discounted_returns(rewards, ahead, picking.gamma)
        # Where the next action is; after an episode's last step there is none, or another.
        finals = np.zeros_like(actions[:1]) if final_actions is None else final_actions
        self._padded_actions = np.concatenate([actions, finals])
        following = np.arange(n) + ahead
        ended = following == ends[self._episode]
        following[ended] = n if final_actions is None else n + self._episode[ended]
        # A row a transition that can be drawn: a mini-batch meets two cache lines of each.
        i = np.flatnonzero(left > 0)
        self._places = np.stack([self.rows[i], (self.rows + ahead)[i], i, following[i]], axis=1)
        ends_it = terminated[self._episode[i]] & (ahead == left)[i]
        self._values = np.stack([returns[i], ends_it, ahead[i]], axis=1, dtype=np.float32)
        self._zero_next = semantics == "d3rlpy" or not picking.final_known
        self._episodes: list[EpisodeBase] | None = None

    def batch_at(self, indices: NDArray[np.int64]) -> TransitionMiniBatch:
        """The mini-batch of given transitions.

        Args:
            indices: (B,) transition numbers in [0, :attr:`transition_count`).

        Returns:
            d3rlpy's mini-batch; all fields float32.
        """
        size = len(indices)
        places = self._places.take(indices, axis=0).T.ravel()  # four stretches of B
        values = self._values.take(indices, axis=0).T.reshape(3, size, 1)
        observations = self.observations_at(places[: 2 * size]).astype(np.float32, copy=False)
        actions = self._padded_actions.take(places[2 * size :], axis=0)
        actions = actions.astype(np.float32, copy=False)
        rewards, terminals, intervals = values
        if self._zero_next:
            observations[size:][terminals[:, 0] != 0] = 0.0
        return TransitionMiniBatch(
            observations=observations[:size],
            actions=actions[:size],
            rewards=rewards,
            next_observations=observations[size:],
            next_actions=actions[size:],
            terminals=terminals,
            intervals=intervals,
            transitions=_Transitions(self, indices),
        )

    def observations_at(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The observations of given frames: the frames, or stacks that end with them.

        Args:
            rows: (B,) indices in :attr:`frames`.

        Returns:
            (B, *observation shape) of the frames' dtype.
        """
        count = self.picking.frames
        if count == 1:
            found: NDArray[Any] = self.frames.take(rows, axis=0)  # a third of the time of []
            return found
        first = self._first_rows[np.searchsorted(self._first_rows, rows, side="right") - 1]
        back = rows[:, None] + np.arange(1 - count, 1)
        stacks: NDArray[Any] = self.frames[np.maximum(back, 0)]
        stacks[back < first[:, None]] = 0
        return stacks.reshape(len(rows), -1, *self.frames.shape[2:])

    def transition_at(self, index: int) -> Transition:
        """One transition.

        Args:
            index: In [0, :attr:`transition_count`).

        Returns:
            d3rlpy's transition; ``rewards_to_go`` runs to the end of the episode.
        """
        row, next_row, i, following = self._places[index].tolist()
        reward, terminal, _ = self._values[index]
        observation, next_observation = self.observations_at(np.array([row, next_row]))
        end = int(self.ends[self._episode[i]])
        return Transition(
            observation=observation,
            action=self.actions[i],
            reward=np.array([reward]),
            next_observation=np.zeros_like(next_observation)
            if self._zero_next and terminal
            else next_observation,
            next_action=self._padded_actions[following],
            terminal=float(terminal),
            interval=next_row - row,
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
        return len(self._places)

    @property
    def transition_bytes(self) -> int:
        """Bytes of one transition in a mini-batch, all float32."""
        observation = int(np.prod(self.picking.stacked(self.frames.shape[1:])))
        # Observation and action twice, now and next; reward, terminal, interval.
        return int(4 * (2 * observation + 2 * self.actions.shape[1] + 3))

    @property
    def dataset_info(self) -> DatasetInfo:
        """Shapes (of single frames), and the action space as the dataset declares it."""
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
        """d3rlpy's picker, for what reads :attr:`episodes`."""
        if self.picking.steps > 1:
            return MultiStepTransitionPicker(self.picking.steps, self.picking.gamma)
        if self.picking.frames > 1:
            return FrameStackTransitionPicker(self.picking.frames)
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
        i = int(self._buffer._places[index, 2])
        episode = int(self._buffer._episode[i])
        start = 0 if episode == 0 else int(self._buffer.ends[episode - 1])
        return self._buffer.episodes[episode], i - start


def _signature(array: NDArray[Any]) -> Signature:
    return Signature([array.dtype], [array.shape[1:]])
