"""Write Minari datasets, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari import MinariDataset
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id
from minari.dataset.minari_storage import MinariStorage
from minari.namespace import NAMESPACE_METADATA_FILENAME
from minari.storage.datasets_root_dir import get_dataset_path

from offline_prune.base.atomic import remove_leftovers, written_aside, written_aside_directory
from offline_prune.errors import DatasetError, OutputDirectoryError

__all__ = ["check_new_id", "local_path", "write_dataset"]


_EPISODE_BYTES = 20_000
"""Of an episode's groups and attributes in an HDF5 file; 14 to 15 kB were measured."""


def local_path(dataset_id: str) -> Path:
    """Where Minari keeps a dataset on this machine, there or not.

    ``MINARI_DATASETS_PATH`` is read at the call.

    Args:
        dataset_id: Minari id.

    Returns:
        The dataset's folder.
    """
    return Path(get_dataset_path(dataset_id))


def check_new_id(dataset_id: str) -> None:
    """Refuse an id that is malformed or taken.

    Args:
        dataset_id: Minari id.

    Raises:
        DatasetError: If it is not of the form ``namespace/name-v0``, or a dataset of
            this id is on this machine; it is left as it is.
    """
    try:
        parse_dataset_id(dataset_id)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{dataset_id!r} is not a dataset id: expected (namespace/)name-v<version>,"
            " e.g. 'mine/cartpole-v0'."
        ) from error
    if local_path(dataset_id).exists():
        raise DatasetError(
            f"There is a dataset {dataset_id} already; nothing was touched. Choose"
            f" another id, or delete it with 'minari delete {dataset_id}'."
        )


def write_dataset(
    dataset_id: str,
    episodes: Sequence[EpisodeBuffer],
    *,
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    env_spec: EnvSpec | None,
    metadata: dict[str, Any],
    path: Path | None = None,
) -> MinariDataset:
    """Write episodes as a Minari dataset.

    Written aside and renamed: a dataset is there whole or not at all. Of two processes
    that write the same one at once both end with it; another one of the same id is
    refused. Images are stored without loss.

    Args:
        dataset_id: Minari id.
        episodes: In order.
        observation_space: Of the environment.
        action_space: Of the environment.
        env_spec: Of the environment; None where there is none.
        metadata: Further metadata, e.g. reference scores, author, description.
        path: The dataset's folder; None for its place in Minari's local root.

    Returns:
        The dataset.

    Raises:
        DatasetError: If another process wrote another dataset of this id meanwhile.
        WriteError: If the disk is full or refuses; nothing is left.
    """
    # Minari's storage counts a relative path twice.
    target = (local_path(dataset_id) if path is None else path).resolve()
    try:
        with written_aside_directory(target) as aside:
            _check_room(aside / "room", episodes)
            (aside / "data").mkdir()
            storage = MinariStorage.new(
                aside / "data",
                observation_space=observation_space,
                action_space=action_space,
                env_spec=env_spec,
                jpeg_encoding=False,
            )
            storage.update_metadata(
                {
                    "dataset_id": dataset_id,
                    "minari_version": version("minari"),
                    **metadata,
                }
            )
            storage.update_episodes(episodes)
            namespace = parse_dataset_id(dataset_id)[0]
            if path is None and namespace is not None:
                _make_namespaces(namespace)
            written = _digest(aside / "data")
    except OutputDirectoryError as error:
        if _digest(target / "data") != written:
            raise DatasetError(
                f"Another process wrote another dataset {dataset_id} meanwhile; it was not"
                " touched. Choose another id."
            ) from error
    return MinariDataset(target / "data")


def _check_room(file: Path, episodes: Sequence[EpisodeBuffer]) -> None:
    """Refuse a disk that is too full beforehand: HDF5 crashes the process when it meets one."""
    size = sum(
        _EPISODE_BYTES
        + _size((e.observations, e.actions, e.rewards, e.infos, e.terminations, e.truncations))
        for e in episodes
    )
    with file.open("wb") as stream:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                raise
            # A file system that cannot reserve says nothing of its room.
    file.unlink()


def _size(values: Any) -> int:
    """Bytes of arrays, in tables and tuples of them too."""
    if isinstance(values, Mapping):
        return sum(map(_size, values.values()))
    if isinstance(values, tuple):
        return sum(map(_size, values))
    return 0 if values is None else np.asarray(values).nbytes


def _digest(folder: Path) -> str:
    """What the files of a folder hold."""
    digest = hashlib.blake2b()
    for path in sorted(folder.glob("*")):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, hashlib.blake2b).digest())
    return digest.hexdigest()


def _make_namespaces(namespace: str) -> None:
    """Declare a namespace to Minari, whose own function may be killed halfway."""
    parts = namespace.split("/")
    for i in range(len(parts)):
        file = local_path("/".join(parts[: i + 1])) / NAMESPACE_METADATA_FILENAME
        if file.is_file() and file.stat().st_size:
            remove_leftovers(file)
        else:
            with written_aside(file) as aside:
                aside.write_text("{}")
