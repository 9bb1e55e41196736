"""LeRobot's folders of demonstrations: the states and actions in their parquet files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.base.arguments import in_one_line, shown
from offline_prune.base.memory import check_room
from offline_prune.data.episodes import DatasetWarning
from offline_prune.data.sources.fields import Fields, fields_of
from offline_prune.errors import DatasetError, EpisodeError, InputError

__all__ = ["is_lerobot", "lerobot_fields"]

_STATE, _ACTION, _REWARD = "observation.state", "action", "next.reward"
_EPISODE, _FRAME = "episode_index", "frame_index"
_DONE, _TRUNCATED = ("next.done", "next.terminated"), "next.truncated"
_OPTIONAL = (_REWARD, *_DONE, _TRUNCATED)
_COUNTERS = ("timestamp", "index", "task_index")
"""What every folder has besides, and no policy sees."""


def is_lerobot(folder: Path) -> bool:
    """Whether a folder is laid out as LeRobot's are.

    Args:
        folder: The folder.

    Returns:
        Whether it has ``meta/info.json``.
    """
    return (folder / "meta" / "info.json").is_file()


def lerobot_fields(folder: Path) -> Fields:
    """Read the rows of a folder in LeRobot's layout, versions 2 and 3.

    Observations are ``observation.state``, actions ``action``. An episode ends with its
    ``episode_index``: terminated where ``next.done`` (``next.terminated``) is set and
    ``next.truncated`` is not, else cut off. Demonstrations without ``next.reward`` have
    rewards of 0. What follows the last frame of an episode is not recorded.

    Args:
        folder: With ``meta/info.json`` and ``data/chunk-*/*.parquet``.

    Returns:
        The rows, episode by episode.

    Raises:
        DatasetError: If the folder is laid out otherwise, has no states (images and videos
            are not read), or pyarrow is not installed.
        EpisodeError: If frames of an episode are missing; names the episode and the frame.

    Warns:
        DatasetWarning: If features are left aside, or episodes are not in the folder.

    References:
        LeRobot's ``LeRobotDataset``, codebase versions v2.0, v2.1 and v3.0.
    """
    info = _info(folder)
    features: dict[str, Any] = info["features"]
    _check_features(folder, features)
    columns = [_STATE, _ACTION, _EPISODE, _FRAME, *(k for k in _OPTIONAL if k in features)]
    found = _read(folder, columns, features)
    _check_counters(folder, found[_EPISODE], found[_FRAME])
    order = np.lexsort((found[_FRAME], found[_EPISODE]))
    found = {name: values[order] for name, values in found.items()}
    last = _last_frames(folder, found[_EPISODE], found[_FRAME])
    declared = info.get("total_episodes")
    if isinstance(declared, int) and last.sum() < declared:
        warnings.warn(
            f"{folder} holds {int(last.sum())} of the {declared} episodes that meta/info.json"
            " counts; the others are not here.",
            DatasetWarning,
            stacklevel=2,
        )
    n = len(last)
    actions = found[_ACTION]
    if actions.ndim == 1 and actions.dtype.kind == "f":  # a feature of one number
        actions = actions[:, None]
    cut = found.get(_TRUNCATED, np.zeros(n, dtype=bool)).astype(bool)
    done = np.zeros(n, dtype=bool)
    for name in _DONE:
        done |= found.get(name, done).astype(bool)
    terminals = done & ~cut
    fields = fields_of(
        {
            "observations": found[_STATE],
            "actions": actions,
            "rewards": found.get(_REWARD, np.zeros(n, np.float32)),
            "terminals": terminals,
            "timeouts": last & ~terminals,
        },
        str(folder),
    )
    return replace(fields, rewards_recorded=_REWARD in found)


def _info(folder: Path) -> dict[str, Any]:
    if not is_lerobot(folder):
        raise DatasetError(
            f"{folder} is not a folder in LeRobot's layout: it has no meta/info.json. Expected"
            " meta/info.json and data/chunk-*/*.parquet, or a file of recorded transitions."
        )
    try:
        info = json.loads((folder / "meta" / "info.json").read_text(encoding="utf-8"))
        version = str(info.get("codebase_version", "v2.0"))
        features = info["features"]
        for feature in features.values():
            _numbers_of(feature)
    except Exception as error:  # whatever damaged metadata may lead to
        raise DatasetError(
            f"{folder}/meta/info.json cannot be read: {in_one_line(error)}. Expected LeRobot's"
            " metadata, with its features. Get the folder again."
        ) from error
    if version.lstrip("v").split(".")[0] not in ("2", "3"):
        raise DatasetError(
            f"{folder} is of LeRobot's codebase version {shown(version)}; expected v2 or v3."
            " Convert it with LeRobot's own scripts."
        )
    found: dict[str, Any] = info
    return found


def _numbers_of(feature: Mapping[str, Any]) -> int:
    """Numbers of one frame."""
    return int(np.prod([int(side) for side in feature["shape"]]))


def _check_features(folder: Path, features: Mapping[str, Any]) -> None:
    """Refuse a folder without states or actions; say what is left aside."""
    others = [
        f"{name} ({shown(feature.get('dtype'))})".replace("'", "")
        for name, feature in features.items()
        if name not in (_STATE, _ACTION, _EPISODE, _FRAME, *_OPTIONAL, *_COUNTERS)
    ]
    listed = shown(", ".join(others))[1:-1] if others else "nothing"
    missing = [name for name in (_STATE, _ACTION) if name not in features]
    if missing:
        raise DatasetError(
            f"{folder} has no {' and no '.join(missing)}; besides there is {listed}. Images and"
            " videos are not read: policies here see observation.state. Record it with states,"
            " or pass the decoded images as arrays (load_dataset({'observations': …}))."
        )
    if others:
        warnings.warn(
            f"{folder}: {listed} {'are' if len(others) > 1 else 'is'} left aside; policies see"
            " observation.state alone.",
            DatasetWarning,
            stacklevel=2,
        )


def _read(folder: Path, columns: list[str], features: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The columns of all files, one after another."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DatasetError(
            "LeRobot's folders hold parquet files, which pyarrow reads: pip install"
            ' "offline-prune[lerobot]".'
        ) from error
    paths = sorted(folder.glob("data/chunk-*/*.parquet"))
    if not paths:
        raise DatasetError(
            f"{folder} holds no data/chunk-*/*.parquet, which LeRobot's layout has. Get the"
            " folder again, its data with it."
        )
    size = sum(8 * _numbers_of(features.get(name, {"shape": (1,)})) for name in columns)
    parts: list[dict[str, NDArray[Any]]] = []
    rows = 0
    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                rows += file.metadata.num_rows
                check_room(str(folder), rows * size)
                table = file.read(columns=columns)  # those that are there
                parts.append({name: _array(table.column(name)) for name in columns})
        except InputError:
            raise
        except Exception as error:  # whatever a reader of damaged files may raise
            raise DatasetError(
                f"{path} cannot be read: {in_one_line(error)}. Expected a parquet file with the"
                f" columns {', '.join(columns)}, numbers without gaps. Get the folder again."
            ) from error
    return {name: _joined(folder, name, [part[name] for part in parts]) for name in columns}


def _joined(folder: Path, name: str, parts: list[NDArray[Any]]) -> NDArray[Any]:
    """A column of all files; a feature of one number as numbers, but for states."""
    shapes = sorted({part.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise DatasetError(
            f"{folder}: {name} is of the shapes {shown(shapes)} a frame in its files; expected"
            " one. Get the folder again."
        )
    values = np.concatenate(parts)
    is_one = values.shape[1:] == (1,) and name != _STATE
    return values[:, 0] if is_one else values


def _array(column: Any) -> NDArray[Any]:
    """A column of numbers, or of lists of equally many, nested or not.

    Raises:
        ValueError: If a number is missing, or lists have different lengths.
    """
    parts = [_chunk(chunk) for chunk in column.chunks if len(chunk)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _chunk(values: Any) -> NDArray[Any]:
    from pyarrow import compute, types

    shape = [len(values)]
    while True:
        if values.null_count:
            raise ValueError("a value is missing")
        kind = values.type
        if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
            found: NDArray[Any] = values.to_numpy(zero_copy_only=False)
            return found.reshape(shape)
        lengths = compute.unique(compute.list_value_length(values)).to_pylist()
        if len(lengths) != 1:
            raise ValueError(f"lists have the lengths {shown(sorted(lengths))}")
        shape.append(lengths[0])
        values = values.flatten()


def _check_counters(folder: Path, episodes: NDArray[Any], frames: NDArray[Any]) -> None:
    if episodes.ndim != 1 or frames.ndim != 1 or {episodes.dtype.kind, frames.dtype.kind} - {*"iu"}:
        raise DatasetError(
            f"{folder}: {_EPISODE} and {_FRAME} are {episodes.dtype} of shape {episodes.shape} and"
            f" {frames.dtype} of shape {frames.shape}; expected whole numbers, one a frame."
        )
    if not len(episodes):
        raise DatasetError(f"{folder} holds no frame. Get the folder again, its data with it.")


def _last_frames(folder: Path, episodes: NDArray[Any], frames: NDArray[Any]) -> NDArray[np.bool_]:
    """Flags of the last frame of each episode; refuse episodes with gaps."""
    last = np.append(episodes[1:] != episodes[:-1], True)
    first = np.flatnonzero(np.append(True, last[:-1]))
    lengths = np.diff(np.append(first, len(last)))
    counted = np.arange(len(last)) - np.repeat(first, lengths)
    odd = np.flatnonzero(frames != counted)
    if len(odd):
        raise EpisodeError(
            f"{folder}, episode {episodes[odd[0]]}: frame {counted[odd[0]]} is missing or there"
            f" twice ({_FRAME} is {frames[odd[0]]}). Expected all frames of an episode, counted"
            " from 0: transitions would join frames that do not follow each other. Get the folder"
            " again."
        )
    return last
