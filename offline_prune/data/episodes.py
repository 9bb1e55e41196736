"""Collect checked episodes into flat arrays."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from offline_prune.data.dataset import Dataset
from offline_prune.data.metadata import Actions, DatasetMetadata
from offline_prune.data.observations import Leaf, ObservationLayout
from offline_prune.data.picking import SINGLE, Picking
from offline_prune.errors import DatasetError, EpisodeError

__all__ = ["DatasetWarning", "Origin", "RawEpisode", "collect_episodes"]


class DatasetWarning(UserWarning):
    """A source holds something that is not used, or lacks something that may be missed.

    Examples:
        >>> import warnings
        >>> from offline_prune import load_dataset
        >>> from offline_prune.data import DatasetWarning
        >>> rows = {"observations": [[0.0], [1.0]], "actions": [[0.0], [0.0]], "mood": ["a", "b"]}
        >>> with warnings.catch_warnings(record=True, action="always") as said:
        ...     data = load_dataset({**rows, "rewards": [0.0, 1.0], "terminals": [False, True]})
        >>> [warning.category is DatasetWarning for warning in said]
        [True]
        >>> str(said[0].message)[:33]
        'This mapping: mood is left aside,'
    """


@dataclass(frozen=True)
class RawEpisode:
    """An episode as its source holds it.

    Attributes:
        name: What to call it in an error.
        observations: T + 1 observations in the structure of the space.
        actions: T actions.
        rewards: T rewards.
        terminations: T flags; true at most at the last step.
        truncations: T flags; true at most at the last step.
        final_action: The action after the last step, where it is known; else None.
    """

    name: str
    observations: Any
    actions: Any
    rewards: Any
    terminations: Any
    truncations: Any
    final_action: Any = None

    @classmethod
    def of(cls, name: str, episode: Any) -> RawEpisode:
        """One of Minari's episodes, read or about to be written."""
        no_fields = ("name", "final_action")
        fields = (f.name for f in dataclasses.fields(cls) if f.name not in no_fields)
        return cls(name, **{field: getattr(episode, field) for field in fields})


@dataclass(frozen=True)
class Origin:
    """What a source knows of its dataset.

    Attributes:
        dataset_id: Minari id; None where there is none.
        env_spec: The environment to evaluate in; None where it is not known.
        observation_space: As declared.
        action_space: As declared.
        episodes: Number of episodes.
        steps: Number of transitions, all episodes together.
        reference_min: Mean return of a random policy; None where not given.
        reference_max: Mean return of the reference expert; None where not given.
        layout: How frames become arrays; None follows the space.
        rewards_recorded: Whether the source has rewards; else they are 0.
        picking: How transitions are made of steps.
    """

    dataset_id: str | None
    env_spec: EnvSpec | None
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    episodes: int
    steps: int
    reference_min: float | None = None
    reference_max: float | None = None
    layout: ObservationLayout | None = None
    rewards_recorded: bool = True
    picking: Picking = SINGLE


def collect_episodes(episodes: Iterable[RawEpisode], origin: Origin) -> Dataset:
    """Check every episode and copy it into flat arrays, one pass, no second copy.

    T + 1 observations make T transitions. A step with a termination is terminal, with
    a truncation as well or not: the end of the task outranks the end of patience. An
    episode whose last step has neither flag was cut off: it counts as truncated. A
    truncated episode keeps its last transition, with its true next observation and
    terminal 0.

    Args:
        episodes: In order.
        origin: What the source knows.

    Returns:
        The dataset.

    Raises:
        EpisodeError: If an episode is broken; names the episode and the step.
        DatasetError: If there are no transitions.
        ActionSpaceError: If d3rlpy cannot train on the action space.

    Warns:
        DatasetWarning: If no rewards are recorded.
    """
    layout = origin.layout or ObservationLayout.of(origin.observation_space)
    actions = Actions.of(origin.action_space)
    n = origin.steps
    try:
        # The last observation of an episode is one more than its steps.
        frames = np.empty((n + origin.episodes, *layout.shape), layout.dtype)
        if actions.kind == "continuous":
            taken = np.empty((n, actions.size), np.float32)
        else:
            taken = np.empty((n, 1), np.int64)
        rewards = np.empty(n, np.float32)
        terminals = np.zeros(n, np.float32)
        timeouts = np.zeros(n, bool)
    except (MemoryError, ValueError) as error:  # ValueError: beyond the address space
        raise DatasetError(
            f"{n} steps with observations of shape {layout.shape} and"
            f" {actions.size} {actions.kind} actions do not fit into memory ({error})."
            " Expected a dataset that does: is its size in the metadata right?"
        ) from error
    ends: list[int] = []
    returns: list[float] = []
    final_actions = np.zeros((origin.episodes, taken.shape[1]), taken.dtype)
    at = 0
    for episode in episodes:
        length = _length(episode)
        if at + length > n or len(ends) == origin.episodes:
            raise DatasetError(
                f"The dataset declares {n} steps in {origin.episodes} episodes, but its episodes"
                " hold more: its metadata and data disagree. Write the dataset anew."
            )
        stop = at + length
        rows = slice(at + len(ends), stop + len(ends) + 1)
        frames[rows] = _observations(episode, layout, length)
        taken[at:stop] = _actions(episode, origin.action_space, actions, length)
        step_rewards = _rewards(episode, length)
        rewards[at:stop] = step_rewards
        terminated = _last_flag(episode, "terminations", length)
        _last_flag(episode, "truncations", length)
        terminals[stop - 1] = terminated
        timeouts[stop - 1] = not terminated
        returns.append(float(step_rewards.sum(dtype=np.float64)))
        if episode.final_action is not None:
            final_actions[len(ends)] = episode.final_action
        ends.append(stop)
        at = stop
    if at < n:
        raise DatasetError(
            f"The dataset declares {n} steps, but its episodes hold {at}: its metadata and"
            " data disagree. Write the dataset anew."
        )
    if at == 0:
        raise DatasetError(
            "The dataset holds no transition. Expected at least one episode of one"
            " step: collect data first."
        )
    if actions.kind == "continuous":
        _refuse_one_hot(taken)
    metadata = DatasetMetadata(
        dataset_id=origin.dataset_id,
        env_spec=origin.env_spec,
        observation_space=origin.observation_space,
        action_space=origin.action_space,
        observation_layout=layout,
        action_kind=actions.kind,
        action_size=actions.size,
        action_start=actions.start,
        action_low=actions.low,
        action_high=actions.high,
        observation_shape=origin.picking.stacked(layout.shape),
        episodes=len(ends),
        steps=at,
        mean_return=float(np.mean(returns)),
        std_return=float(np.std(returns)),
        reference_min=origin.reference_min,
        reference_max=origin.reference_max,
        longest_episode=int(np.diff(ends, prepend=0).max()),
        best_return=float(np.max(returns)),
        rewards_recorded=origin.rewards_recorded,
        frame_stack=origin.picking.frames,
    )
    if not origin.rewards_recorded:
        warnings.warn(
            "These demonstrations have no rewards, which are 0 everywhere: bc learns from them,"
            " algorithms that learn from rewards learn nothing.",
            DatasetWarning,
            stacklevel=2,
        )
    return Dataset(
        frames=frames[: at + len(ends)],
        actions=taken,
        rewards=rewards,
        terminals=terminals,
        timeouts=timeouts,
        ends=np.asarray(ends, dtype=np.int64),
        metadata=metadata,
        picking=origin.picking,
        final_actions=final_actions[: len(ends)] if final_actions.any() else None,
    )


def _length(episode: RawEpisode) -> int:
    lengths = {}
    for name in ("actions", "rewards", "terminations", "truncations"):
        try:
            lengths[name] = len(getattr(episode, name))
        except TypeError as error:
            raise EpisodeError(
                f"{episode.name}: {name} is {type(getattr(episode, name)).__name__} without"
                " rows; expected an array of one row a step. Write the episode anew."
            ) from error
    length = lengths["rewards"]
    if length == 0 or set(lengths.values()) != {length}:
        raise EpisodeError(
            f"{episode.name}: actions, rewards and flags must have one row a step and"
            f" at least one step, found {lengths}. Write the episode anew."
        )
    return length


def _observations(episode: RawEpisode, layout: ObservationLayout, length: int) -> NDArray[Any]:
    for leaf in layout.leaves:
        name = "/".join(map(str, ("observations", *leaf.path)))
        try:
            found = np.asarray(leaf.of(episode.observations))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EpisodeError(
                f"{episode.name}: {name} is missing or ragged ({error}); the"
                " observation space declares it."
            ) from error
        # Floats for declared bytes (images scaled to 1, say) would be cut to 0 in silence.
        fits = found.dtype.kind in "biuf" and np.can_cast(found.dtype, leaf.dtype, "same_kind")
        if not fits or found.shape[1:] != leaf.shape:
            raise EpisodeError(
                f"{episode.name}: {name} is {found.dtype} of shape {found.shape}; the"
                f" observation space declares {leaf.dtype} of shape {leaf.shape} a step."
            )
        if len(found) == length:
            raise EpisodeError(
                f"{episode.name}: {name} has {length} rows for {length} steps, expected"
                f" {length + 1}: the observation after step {length - 1} is missing."
                " Record the final observation, or import the data with"
                " 'offline-prune import', which drops what it cannot know."
            )
        if len(found) != length + 1:
            raise EpisodeError(
                f"{episode.name}: {name} has {len(found)} rows for {length} steps,"
                f" expected {length + 1}."
            )
        _check_finite(episode, name, found)
        _check_range(episode, name, found, layout)
        _check_categories(episode, name, found, leaf)
    return layout.flatten(episode.observations, length + 1)


def _check_range(
    episode: RawEpisode, name: str, found: NDArray[Any], layout: ObservationLayout
) -> None:
    """Wider integers than bytes would wrap around in silence where pixels are kept."""
    if layout.dtype == np.uint8 and found.dtype.kind in "iu" and found.dtype.itemsize > 1:
        outside = (found < 0) | (found > 255)
        if outside.any():
            step = int(np.argwhere(outside)[0][0])
            raise EpisodeError(
                f"{episode.name}, step {step}: {name} holds {found[outside].flat[0]}, expected"
                " pixels from 0 to 255. Repair or drop the episode."
            )


def _check_categories(episode: RawEpisode, name: str, found: NDArray[Any], leaf: Leaf) -> None:
    rows = found.reshape(len(found), -1)
    for i, (start, count) in enumerate(leaf.categories):
        outside = (rows[:, i] < start) | (rows[:, i] >= start + count)
        if outside.any():
            step = int(np.argmax(outside))
            raise EpisodeError(
                f"{episode.name}, step {step}: {name} holds the category {rows[step, i]},"
                f" expected one of {start} to {start + count - 1}. Repair or drop the episode."
            )


def _actions(
    episode: RawEpisode,
    space: gymnasium.Space[Any],
    actions: Actions,
    length: int,
) -> NDArray[Any]:
    found = _array(episode, "actions")
    if actions.kind == "continuous":
        if found.dtype.kind != "f" or found.shape != (length, actions.size):
            raise EpisodeError(
                f"{episode.name}: actions are {found.dtype} of shape {found.shape}; the"
                f" action space {space} needs floats of shape {(length, actions.size)}."
            )
        _check_finite(episode, "actions", found)
        return found
    if found.dtype.kind not in "iu" or found.size != length:
        raise EpisodeError(
            f"{episode.name}: actions are {found.dtype} of shape {found.shape}; the"
            f" action space {space} needs integers of shape {(length,)}."
        )
    found = found.reshape(length, 1)
    outside = (found < actions.start) | (found >= actions.start + actions.size)
    if outside.any():
        step = int(np.argmax(outside))
        raise EpisodeError(
            f"{episode.name}, step {step}: action {int(found[step, 0])} is outside {space}."
            " Repair or drop the episode."
        )
    counted: NDArray[np.int64] = found.astype(np.int64) - actions.start
    return counted


def _refuse_one_hot(taken: NDArray[np.float32]) -> None:
    """Labels as rows of zeros with a one would train as vectors, to actions that are none."""
    first = taken[0]
    if len(first) < 2 or not ((first == 0) | (first == 1)).all() or first.sum() != 1:
        return  # most datasets are told by their first row
    is_one_hot = ((taken == 0) | (taken == 1)).all(axis=1) & (taken.sum(axis=1) == 1)
    if is_one_hot.all() and (taken != first).any():
        raise DatasetError(
            f"All {len(taken)} actions are one-hot rows of {len(first)} numbers: labels of discrete"
            " actions, it seems, which would train as vectors. Expected integer labels from 0,"
            " actions.argmax(axis=1), of a Discrete space."
        )


def _rewards(episode: RawEpisode, length: int) -> NDArray[np.float32]:
    found = _array(episode, "rewards")
    if found.dtype.kind not in "fiub" or found.size != length:
        raise EpisodeError(
            f"{episode.name}: rewards are {found.dtype} of shape {found.shape}; expected"
            f" one number a step, shape {(length,)}."
        )
    _check_finite(episode, "rewards", found)
    return found.reshape(length).astype(np.float32)


def _last_flag(episode: RawEpisode, name: str, length: int) -> bool:
    found = _array(episode, name)
    if found.dtype.kind not in "biuf" or found.size != length:
        raise EpisodeError(
            f"{episode.name}: {name} are {found.dtype} of shape {found.shape}; expected"
            f" one flag a step, shape {(length,)}."
        )
    found = found.reshape(length)
    flags = found == 1
    if not (flags | (found == 0)).all():
        step = int(np.argmin(flags | (found == 0)))
        raise EpisodeError(
            f"{episode.name}, step {step}: {name} holds {found[step]}, expected a flag, 0 or 1."
            " Write the episode anew."
        )
    if flags[:-1].any():
        step = int(np.argmax(flags))
        raise EpisodeError(
            f"{episode.name}, step {step}: {name} is set, but the episode goes on to"
            f" step {length - 1}. Split the episode there."
        )
    return bool(flags[-1])


def _array(episode: RawEpisode, name: str) -> NDArray[Any]:
    try:
        return np.asarray(getattr(episode, name))
    except ValueError as error:
        raise EpisodeError(
            f"{episode.name}: the rows of {name} have different shapes ({error}). Expected"
            " one array. Write the episode anew."
        ) from error


def _check_finite(episode: RawEpisode, name: str, values: NDArray[Any]) -> None:
    if values.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        # What is finite in float64 may not be in float32, which the networks compute in.
        finite = np.isfinite(values.astype(np.float32, copy=False))
    if not finite.all():
        step = int(np.argwhere(~finite)[0][0])
        raise EpisodeError(
            f"{episode.name}, step {step}: {name} holds"
            f" {values[step][~finite[step]].flat[0] if values.ndim > 1 else values[step]},"
            " expected finite float32 numbers. Repair or drop the episode."
        )
