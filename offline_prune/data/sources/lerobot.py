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
from offline_prune.data.episodes import DatasetWarning
from offline_prune.data.sources.fields import Fields, fields_of, flags_of
from offline_prune.data.sources.parquet_columns import read_columns
from offline_prune.errors import DatasetError, EpisodeError

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
    declared, features = _info(folder)
    _check_features(folder, features)
    paths = sorted(folder.glob("data/chunk-*/*.parquet"))
    if not paths:
        raise DatasetError(
            f"{folder} holds no data/chunk-*/*.parquet, which LeRobot's layout has. Get the"
            " folder again, its data with it."
        )
    columns = [_STATE, _ACTION, _EPISODE, _FRAME, *(k for k in _OPTIONAL if k in features)]
    found = read_columns(paths, columns, str(folder))
    # Some writers keep one number as a list of one.
    found = {k: v[:, 0] if v.shape[1:] == (1,) and k != _STATE else v for k, v in found.items()}
    _check_counters(folder, found[_EPISODE], found[_FRAME])
    order = np.lexsort((found[_FRAME], found[_EPISODE]))
    found = {name: values[order] for name, values in found.items()}
    last = _last_frames(folder, found[_EPISODE], found[_FRAME])
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
    flags = {k: flags_of(found.get(k, np.zeros(n)), k, str(folder)) for k in (*_DONE, _TRUNCATED)}
    terminals = np.any([flags[name] for name in _DONE], axis=0) & ~flags[_TRUNCATED]
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


def _info(folder: Path) -> tuple[Any, dict[str, str]]:
    """The number of episodes that there should be, and feature → dtype."""
    if not is_lerobot(folder):
        raise DatasetError(
            f"{folder} is not a folder in LeRobot's layout: it has no meta/info.json. Expected"
            " meta/info.json and data/chunk-*/*.parquet, or a file of recorded transitions."
        )
    try:
        info = json.loads((folder / "meta" / "info.json").read_text(encoding="utf-8"))
        version = str(info.get("codebase_version", "v2.0"))
        features = {name: str(feature["dtype"]) for name, feature in info["features"].items()}
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
    return info.get("total_episodes"), features


def _check_features(folder: Path, features: Mapping[str, str]) -> None:
    """Refuse a folder without states or actions; say what is left aside."""
    others = [
        f"{name} ({kind})"
        for name, kind in features.items()
        if name not in (_STATE, _ACTION, _EPISODE, _FRAME, *_OPTIONAL, *_COUNTERS)
    ]
    listed = ", ".join(others)[:300] or "nothing"
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
