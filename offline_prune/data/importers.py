"""Import files of recorded transitions as Minari datasets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
from minari import MinariDataset
from minari.data_collector.episode_buffer import EpisodeBuffer
from numpy.typing import NDArray

from offline_prune.data.store import check_new_id, write_dataset
from offline_prune.errors import DatasetError

__all__ = ["import_file"]

_COMMON = ("observations", "actions", "rewards", "terminals")


def import_file(path: str | Path, dataset_id: str, *, env: str | None = None) -> MinariDataset:
    """Import an HDF5 file in D4RL's or d3rlpy's v1 layout.

    Both hold N rows of ``observations``, ``actions``, ``rewards`` and ``terminals``.
    D4RL's adds ``timeouts`` (and perhaps ``next_observations``), d3rlpy's
    ``episode_terminals``; the keys tell which it is. Rows after the last flag are an
    episode that was cut off.

    What follows the last step of an episode is recorded only in ``next_observations``.
    Without it a truncated episode loses its last transition, whose next observation
    cannot be known, and a terminated one repeats its last observation, which nothing
    is ever bootstrapped from.

    Args:
        path: The file.
        dataset_id: Id of the new dataset in Minari's local root.
        env: Gymnasium id of the environment; its spaces are then the dataset's. Else
            observations are an unbounded Box, continuous actions a Box of ±1 or, where
            they go beyond, of their largest absolute value a dimension, and integer
            actions Discrete of the largest plus one.

    Returns:
        The dataset.

    Raises:
        DatasetError: If the id is taken, the file is none of the two layouts, or the
            environment is not known; nothing is written.
    """
    check_new_id(dataset_id)
    fields = _read(Path(path))
    observations, actions = fields["observations"], fields["actions"]
    discrete = actions.dtype.kind in "iu"
    actions = actions.reshape(len(actions)) if discrete else actions.astype(np.float32)
    if env is not None:
        try:
            environment = gymnasium.make(env)
        except (gymnasium.error.Error, ImportError) as error:
            raise DatasetError(f"The environment {env!r} cannot be made: {error}.") from error
        spec = environment.spec
        observation_space, action_space = environment.observation_space, environment.action_space
        environment.close()
    else:
        spec = None
        observation_space = _observation_space(observations)
        action_space = _action_space(actions, discrete)
    if np.dtype(observation_space.dtype).kind == "f":
        observations = observations.astype(observation_space.dtype)
    buffers = _split(observations, actions, fields)
    if not buffers:
        raise DatasetError(f"{path} holds no transition whose next observation is known.")
    return write_dataset(
        dataset_id,
        buffers,
        observation_space=observation_space,
        action_space=action_space,
        env_spec=spec,
        metadata={"description": f"Imported from {Path(path).name}."},
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The file's arrays, with one flag array ``timeouts`` whatever the layout."""
    try:
        with h5py.File(path, "r") as file:
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
            fields = {name: np.asarray(file[name][()]) for name in wanted}
    except OSError as error:
        raise DatasetError(f"{path} cannot be read as an HDF5 file: {error}.") from error
    n = len(fields["observations"])
    wrong = {name: len(values) for name, values in fields.items() if len(values) != n}
    if wrong or n == 0:
        raise DatasetError(
            f"{path}: every field needs the {n} rows of observations, and at least one;"
            f" found {wrong or 'none'}."
        )
    fields["terminals"] = fields["terminals"].reshape(n).astype(bool)
    ends = fields.pop("episode_terminals", None)
    if ends is not None:
        ends = ends.reshape(n).astype(bool) & ~fields["terminals"]
    timeouts = fields.get("timeouts", ends)
    fields["timeouts"] = (
        np.zeros(n, dtype=bool) if timeouts is None else timeouts.reshape(n).astype(bool)
    )
    fields["rewards"] = fields["rewards"].reshape(n).astype(np.float32)
    return fields


def _observation_space(observations: NDArray[Any]) -> gymnasium.spaces.Box:
    shape = observations.shape[1:]
    if observations.dtype == np.uint8:
        return gymnasium.spaces.Box(0, 255, shape, np.uint8)
    return gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32)


def _action_space(actions: NDArray[Any], discrete: bool) -> gymnasium.Space[Any]:
    if discrete:
        return gymnasium.spaces.Discrete(int(actions.max()) + 1)
    bound = np.maximum(1.0, np.abs(actions).max(axis=0)).astype(np.float32)
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
            final = following[end - 1 : end].astype(frames.dtype)
            frames = np.concatenate([frames, final])
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
