"""From rows of transitions to episodes, and to a dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector.episode_buffer import EpisodeBuffer
from numpy.typing import NDArray

from offline_prune.base.arguments import check_switch, shown, whole_number
from offline_prune.data.dataset import Dataset
from offline_prune.data.environment import make_registered
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from offline_prune.data.observations import Images, ObservationLayout, array_space
from offline_prune.data.sources.ends import cut_off
from offline_prune.data.sources.fields import Fields, cast
from offline_prune.errors import DatasetError, EnvironmentUnavailableError

__all__ = ["Recorded", "RowOptions", "from_fields"]

_MOST_ACTIONS = 2**20
"""Discrete actions; beyond, a stray number is likelier than that many actions."""


@dataclass(frozen=True)
class RowOptions:
    """What rows of transitions do not say themselves.

    Attributes:
        env: Gymnasium id of the environment; its spaces are then the dataset's. Else
            observations are an unbounded Box, continuous actions a Box of ±1 or, where
            they go beyond, of their largest absolute value a dimension, and integer
            actions Discrete of the largest plus one.
        episode_length: Steps after which an episode ends, beside the flags.
        cut_at_jumps: Whether an episode also ends where ``next_observations`` is another
            observation than that of the next row.
    """

    env: str | None = None
    episode_length: int | None = None
    cut_at_jumps: bool = False

    def checked(self) -> RowOptions:
        """The same in plain form.

        Raises:
            InputError: If one is of another kind.
        """
        length = self.episode_length
        if length is not None:
            length = whole_number("episode_length", length, 1)
        if not isinstance(self.env, str | None):
            raise DatasetError(f"env is the id of a gymnasium environment, not {shown(self.env)}.")
        switch = check_switch("cut_at_jumps", self.cut_at_jumps)
        return RowOptions(self.env, length, switch)


@dataclass(frozen=True)
class Recorded:
    """Episodes of rows, and the dataset that they are.

    Attributes:
        episodes: In order, in Minari's form.
        origin: Their spaces and environment.
        data: The same, checked and flat.
    """

    episodes: list[EpisodeBuffer]
    origin: Origin
    data: Dataset


def from_fields(fields: Fields, options: RowOptions, images: Images = "auto") -> Recorded:
    """Part rows into episodes and check them.

    What follows the last step of an episode is recorded only in ``next_observations``.
    Without it a truncated episode loses its last transition, whose next observation
    cannot be known, and a terminated one repeats its last observation, which nothing
    is ever bootstrapped from. Rows after the last flag are an episode that was cut off.

    Args:
        fields: The rows.
        options: What they do not say themselves, checked.
        images: How to read images.

    Returns:
        Episodes and dataset.

    Raises:
        DatasetError: If the environment is not known, if it cannot be told where episodes
            end, if one is longer than the environment's limit, or as
            :func:`collect_episodes`.
    """
    if options.env is None:
        spec = None
        observations = fields.observations
        observation_space: gymnasium.Space[Any] = array_space(
            observations.shape[1:], observations.dtype
        )
        action_space = _action_space(fields)
    else:
        spec, observation_space, action_space = _environment(options.env)
    if (observation_space.dtype or np.dtype(object)).kind == "f":
        seen = cast(fields.observations, observation_space.dtype)
        fields = replace(fields, observations=seen)
    ends = cut_off(fields, options.episode_length, options.cut_at_jumps)
    episodes = _split(fields, ends)
    if not episodes:
        raise DatasetError(f"{fields.where} holds no transition whose next observation is known.")
    _check_lengths(fields.where, episodes, spec)
    raw = (RawEpisode.of(f"{fields.where}, episode {i}", e) for i, e in enumerate(episodes))
    origin = Origin(
        None,
        spec,
        observation_space,
        action_space,
        len(episodes),
        sum(len(episode.rewards) for episode in episodes),
        layout=ObservationLayout.of(observation_space, images),
        rewards_recorded=fields.rewards_recorded,
    )
    return Recorded(episodes, origin, collect_episodes(raw, origin))


def _environment(name: str) -> tuple[EnvSpec | None, gymnasium.Space[Any], gymnasium.Space[Any]]:
    try:
        environment = make_registered(name)
    except EnvironmentUnavailableError as error:
        raise DatasetError(f"The environment {name!r} cannot be made: {error}.") from error
    environment.close()
    return environment.spec, environment.observation_space, environment.action_space


def _action_space(fields: Fields) -> gymnasium.Space[Any]:
    actions = fields.actions
    if actions.dtype.kind in "iu":
        odd = np.flatnonzero((actions < 0) | (actions >= _MOST_ACTIONS))
        if len(odd):
            raise DatasetError(
                f"{fields.where}, row {odd[0]}: the action is {actions[odd[0]]}; discrete actions"
                f" count from 0, and stay below {_MOST_ACTIONS}. Name the environment (env=...)"
                " if its actions start elsewhere."
            )
        return gymnasium.spaces.Discrete(int(actions.max()) + 1)
    # What is not finite is refused with its step.
    bound = np.abs(actions).max(axis=0, initial=1.0, where=np.isfinite(actions))
    return gymnasium.spaces.Box(-bound, bound, dtype=np.float32)


def _split(fields: Fields, cut: NDArray[np.bool_]) -> list[EpisodeBuffer]:
    observations, terminals = fields.observations, fields.terminals
    following = fields.next_observations
    n = len(observations)
    last = np.flatnonzero(terminals | cut)
    ends = [*(last + 1).tolist(), *([] if len(last) and last[-1] == n - 1 else [n])]
    episodes = []
    for start, end in zip([0, *ends], ends, strict=False):
        terminated = bool(terminals[end - 1])
        frames = observations[start:end]
        if following is not None:
            frames = np.concatenate([frames, following[end - 1 : end]])
        elif terminated:
            frames = np.concatenate([frames, frames[-1:]])
        steps = len(frames) - 1
        if steps == 0:
            continue
        no_flag = np.zeros(steps, dtype=bool)
        at_end = no_flag.copy()
        at_end[-1] = True
        episodes.append(
            EpisodeBuffer(
                observations=frames,
                actions=fields.actions[start : start + steps],
                rewards=fields.rewards[start : start + steps],
                terminations=at_end if terminated else no_flag,
                truncations=no_flag if terminated else at_end,
            )
        )
    return episodes


def _check_lengths(where: str, episodes: list[EpisodeBuffer], spec: EnvSpec | None) -> None:
    """Refuse episodes that the environment would have cut."""
    limit = None if spec is None else spec.max_episode_steps
    longest = max(len(episode.rewards) for episode in episodes)
    if spec is not None and limit is not None and longest > limit:
        raise DatasetError(
            f"{where} holds an episode of {longest} steps; {spec.id} ends every episode after"
            f" {limit}. Ends are missing: pass episode_length={limit} (--episode-length"
            f" {limit}), or the environment that the data are of."
        )
