"""Import files of recorded transitions as Minari datasets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari import MinariDataset
from minari.data_collector.episode_buffer import EpisodeBuffer
from numpy.typing import NDArray

from offline_prune.base.arguments import check_switch, in_one_line, shown, whole_number
from offline_prune.data.environment import make_registered
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from offline_prune.data.made.store import check_new_id, write_dataset
from offline_prune.data.observations import array_space
from offline_prune.data.sources.self_contained import check_self_contained
from offline_prune.errors import DatasetError, EnvironmentUnavailableError

__all__ = ["import_file"]

_MOST_ACTIONS = 2**20
"""Discrete actions; beyond, a stray number is likelier than that many actions."""

_COMMON = ("observations", "actions", "rewards", "terminals")


def import_file(
    path: str | Path,
    dataset_id: str,
    *,
    env: str | None = None,
    episode_length: int | None = None,
    cut_at_jumps: bool = False,
) -> MinariDataset:
    """Import an HDF5 file in D4RL's or d3rlpy's v1 layout.

    Both hold N rows of ``observations``, ``actions``, ``rewards`` and ``terminals``.
    D4RL's adds ``timeouts`` (and perhaps ``next_observations``), d3rlpy's
    ``episode_terminals``; the keys tell which it is. Rows after the last flag are an
    episode that was cut off.

    What follows the last step of an episode is recorded only in ``next_observations``.
    Without it a truncated episode loses its last transition, whose next observation
    cannot be known, and a terminated one repeats its last observation, which nothing
    is ever bootstrapped from. Where it is recorded it says whether the next row follows:
    rows of several environments in turn, shuffled ones, and episodes whose ends are not
    marked are found by it.

    Args:
        path: The file.
        dataset_id: Id of the new dataset in Minari's local root.
        env: Gymnasium id of the environment; its spaces are then the dataset's. Else
            observations are an unbounded Box, continuous actions a Box of ±1 or, where
            they go beyond, of their largest absolute value a dimension, and integer
            actions Discrete of the largest plus one.
        episode_length: Steps after which an episode ends, beside the flags.
        cut_at_jumps: Whether an episode also ends where ``next_observations`` is another
            observation than that of the next row.

    Returns:
        The dataset.

    Raises:
        DatasetError: If the id is taken, the file is none of the two layouts, the
            environment is not known, or it cannot be told where episodes end: no flag
            marks an end, rows do not follow each other, or an episode is longer than the
            environment's limit. Nothing is written.
    """
    if episode_length is not None:
        episode_length = whole_number("episode_length", episode_length, 1)
    cut_at_jumps = check_switch("cut_at_jumps", cut_at_jumps)
    check_new_id(dataset_id)
    if not isinstance(path, str | Path):
        raise DatasetError(f"Expected the path of an HDF5 file, not {shown(path)}.")
    if not isinstance(env, str | None):
        raise DatasetError(f"env is the id of a gymnasium environment, not {shown(env)}.")
    path = Path(path)
    fields = _read(path)
    observations, actions = fields["observations"], fields["actions"]
    discrete = actions.dtype.kind in "iu"
    if env is not None:
        try:
            environment = make_registered(env)
        except EnvironmentUnavailableError as error:
            raise DatasetError(f"The environment {env!r} cannot be made: {error}.") from error
        spec = environment.spec
        observation_space, action_space = environment.observation_space, environment.action_space
        environment.close()
    else:
        spec = None
        observation_space = array_space(observations.shape[1:], observations.dtype)
        action_space = _action_space(path, actions, discrete)
    if (observation_space.dtype or np.dtype(object)).kind == "f":
        observations = _cast(observations, observation_space.dtype)
    fields["timeouts"] = _ends(path, fields, episode_length, cut_at_jumps)
    buffers = _split(observations, actions, fields)
    if not buffers:
        raise DatasetError(f"{path} holds no transition whose next observation is known.")
    _check_lengths(path, buffers, spec)
    # What load_dataset would refuse is not written.
    episodes = (RawEpisode.of(f"{path}, episode {i}", e) for i, e in enumerate(buffers))
    steps = sum(len(episode.rewards) for episode in buffers)
    origin = Origin(None, None, observation_space, action_space, len(buffers), steps)
    collect_episodes(episodes, origin)
    return write_dataset(
        dataset_id,
        buffers,
        observation_space=observation_space,
        action_space=action_space,
        env_spec=spec,
        metadata={"description": f"Imported from {path.name}."},
    )


def _ends(
    path: Path, fields: Mapping[str, NDArray[Any]], length: int | None, cut_at_jumps: bool
) -> NDArray[np.bool_]:
    """Flags of rows at which an episode was cut off: recorded, by length, or at jumps."""
    terminals = fields["terminals"]
    n = len(terminals)
    marked = "timeouts" in fields
    ends = fields["timeouts"].copy() if marked else np.zeros(n, dtype=bool)
    if length is not None:
        since = 0
        for row in range(n):
            since += 1
            ends[row] |= since == length and not terminals[row]
            since = 0 if ends[row] or terminals[row] else since
    jumps = _jumps(fields, ends | terminals)
    if cut_at_jumps and jumps is None:
        raise DatasetError(
            f"{path} has no next_observations, so it cannot be told where rows do not follow"
            " each other. Say how long episodes are (episode_length=…, --episode-length), or"
            " import a file that has them."
        )
    if jumps is not None and jumps.any():
        if not cut_at_jumps:
            first = int(np.argmax(jumps))
            raise DatasetError(
                f"{path}: the next_observations of {int(jumps.sum())} of {n} rows are not the"
                f" observations of the rows after them (row {first} is the first), and no flag"
                " ends an episode there: ends are missing, or rows are shuffled or of several"
                " environments in turn. Cut there (cut_at_jumps=True, --cut-at-jumps), or say"
                " how long episodes are (episode_length=…, --episode-length)."
            )
        ends |= jumps
    if not (marked or ends.any() or terminals.any() or jumps is not None):
        raise DatasetError(
            f"{path} marks no end of an episode in {n} rows and has neither timeouts nor"
            " next_observations: as one episode, transitions would join strangers. Say how long"
            f" episodes are (episode_length=…, --episode-length; {n} for one episode)."
        )
    return ends


def _jumps(fields: Mapping[str, NDArray[Any]], ends: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Rows within an episode that the next row does not follow; None if it is not known."""
    following = fields.get("next_observations")
    if following is None:
        return None
    n = len(ends)
    ahead = fields["observations"][1:].reshape(n - 1, -1).astype(np.float64)
    said = following[:-1].reshape(n - 1, -1).astype(np.float64)
    apart = np.abs(said - ahead) > 1e-4 * (1.0 + np.abs(ahead))
    jumps = np.append(apart.any(axis=1), False)
    return jumps & ~ends


def _check_lengths(path: Path, buffers: list[EpisodeBuffer], spec: EnvSpec | None) -> None:
    """Refuse episodes that the environment would have cut."""
    limit = None if spec is None else spec.max_episode_steps
    longest = max(len(episode.rewards) for episode in buffers)
    if spec is not None and limit is not None and longest > limit:
        raise DatasetError(
            f"{path} holds an episode of {longest} steps; {spec.id} ends every episode after"
            f" {limit}. Ends are missing: pass episode_length={limit} (--episode-length"
            f" {limit}), or the environment that the data are of."
        )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The file's arrays, with one flag array ``timeouts`` whatever the layout."""
    try:
        with h5py.File(path, "r") as file:
            check_self_contained(file, path)
            keys = set(file)
            missing = [name for name in _COMMON if name not in keys]
            if missing:
                raise DatasetError(
                    f"{path} lacks {', '.join(missing)}; it holds"
                    f" {', '.join(sorted(keys)) or 'nothing'}. Expected D4RL's layout"
                    " (with timeouts) or d3rlpy's v1 layout (with episode_terminals)."
                )
            optional = ("timeouts", "episode_terminals", "next_observations")
            wanted = [*_COMMON, *(name for name in optional if name in keys)]
            fields = {name: _field(file, path, name) for name in wanted}
    except DatasetError:
        raise
    except Exception as error:  # whatever a reader of damaged files may raise
        raise DatasetError(
            f"{path} cannot be read as an HDF5 file: {in_one_line(error)}."
        ) from error
    n = len(fields["observations"])
    wrong = {name: len(values) for name, values in fields.items() if len(values) != n}
    if wrong or n == 0:
        raise DatasetError(
            f"{path}: every field needs the {n} rows of observations, and at least one;"
            f" found {wrong or 'none'}."
        )
    fields["terminals"] = _flags(path, "terminals", fields["terminals"])
    ends = fields.pop("episode_terminals", None)
    if ends is not None:
        ends = _flags(path, "episode_terminals", ends) & ~fields["terminals"]
    timeouts = fields.get("timeouts")
    if timeouts is not None:
        fields["timeouts"] = _flags(path, "timeouts", timeouts)
    elif ends is not None:
        fields["timeouts"] = ends
    rewards = fields["rewards"]
    if rewards.size != n:
        raise DatasetError(
            f"{path}: rewards are of shape {rewards.shape}; expected one number a row,"
            f" shape {(n,)}."
        )
    fields["rewards"] = _cast(rewards.reshape(n), np.float32)
    observations = fields["observations"]
    if observations.dtype.kind in "iu" and observations.dtype != np.uint8:
        fields["observations"] = observations = observations.astype(np.float32)
    following = fields.get("next_observations")
    if following is not None:
        if (following.shape, following.dtype == np.uint8) != (
            observations.shape,
            observations.dtype == np.uint8,
        ):
            raise DatasetError(
                f"{path}: next_observations are {following.dtype} of shape {following.shape},"
                f" observations {observations.dtype} of shape {observations.shape}; expected"
                " the same of both."
            )
        fields["next_observations"] = _cast(following, observations.dtype)
    actions = fields["actions"]
    if actions.dtype.kind in "iu":
        if actions.size != n:
            raise DatasetError(
                f"{path}: integer actions of shape {actions.shape}; expected one a row, shape"
                f" {(n,)}."
            )
        fields["actions"] = actions.reshape(n)
    elif actions.ndim != 2:
        raise DatasetError(
            f"{path}: actions are of shape {actions.shape}; expected {(n, 'action size')}."
        )
    else:
        fields["actions"] = _cast(actions, np.float32)
    return fields


def _cast(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Cast; what is not finite any more is refused with its step before anything is written."""
    with np.errstate(over="ignore"):
        return values.astype(dtype)


_KINDS = {"observations": "iuf", "next_observations": "iuf", "actions": "iuf"}


def _field(file: h5py.File, path: Path, name: str) -> NDArray[Any]:
    """An array of the file: numbers in the machine's byte order, one row a step."""
    entry = file[name]
    kinds = _KINDS.get(name, "biuf")
    if not isinstance(entry, h5py.Dataset) or entry.dtype.kind not in kinds or not entry.shape:
        found = f"{entry.dtype} of shape {entry.shape}" if hasattr(entry, "dtype") else "no array"
        raise DatasetError(
            f"{path}: {name} is {found}; expected an array of"
            f" {'numbers' if 'b' in kinds else 'floats or integers'}, one row a step."
        )
    values = np.asarray(entry[()])
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _flags(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    n = len(values)
    if values.size == n:
        values = values.reshape(n)
        odd = np.flatnonzero((values != 0) & (values != 1))
        if not len(odd):
            flags: NDArray[np.bool_] = values == 1
            return flags
        raise DatasetError(
            f"{path}, row {odd[0]}: {name} holds {values[odd[0]]}, expected a flag, 0 or 1."
        )
    raise DatasetError(
        f"{path}: {name} is of shape {values.shape}; expected one flag a row, shape {(n,)}."
    )


def _action_space(path: Path, actions: NDArray[Any], discrete: bool) -> gymnasium.Space[Any]:
    if discrete:
        odd = np.flatnonzero((actions < 0) | (actions >= _MOST_ACTIONS))
        if len(odd):
            raise DatasetError(
                f"{path}, row {odd[0]}: the action is {actions[odd[0]]}; discrete actions count"
                f" from 0, and stay below {_MOST_ACTIONS}. Name the environment (env=...) if"
                " its actions start elsewhere."
            )
        return gymnasium.spaces.Discrete(int(actions.max()) + 1)
    # What is not finite is refused with its step.
    bound = np.abs(actions).max(axis=0, initial=1.0, where=np.isfinite(actions))
    return gymnasium.spaces.Box(-bound, bound, dtype=np.float32)


def _split(
    observations: NDArray[Any],
    actions: NDArray[Any],
    fields: Mapping[str, NDArray[Any]],
) -> list[EpisodeBuffer]:
    terminals, timeouts = fields["terminals"], fields["timeouts"]
    following = fields.get("next_observations")
    n = len(observations)
    last = np.flatnonzero(terminals | timeouts)
    ends = [*(last + 1).tolist(), *([] if len(last) and last[-1] == n - 1 else [n])]
    buffers = []
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
        buffers.append(
            EpisodeBuffer(
                observations=frames,
                actions=actions[start : start + steps],
                rewards=fields["rewards"][start : start + steps],
                terminations=at_end if terminated else no_flag,
                truncations=no_flag if terminated else at_end,
            )
        )
    return buffers
