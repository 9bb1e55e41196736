"""Write Minari datasets, whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from minari import MinariDataset
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id
from minari.dataset.minari_storage import MinariStorage
from minari.namespace import create_namespace
from minari.storage.datasets_root_dir import get_dataset_path

from offline_prune.errors import DatasetError

__all__ = ["check_new_id", "local_path", "write_dataset"]


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

    Written aside and renamed: a dataset is there whole or not at all, and of two
    processes that write the same one at once both end with a whole one. Images are
    stored without loss.

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
    """
    # Minari's storage counts a relative path twice.
    target = (local_path(dataset_id) if path is None else path).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
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
        aside.chmod(0o755)  # mkdtemp makes it private
        try:
            aside.rename(target)
        except OSError:
            if not (target / "data" / "metadata.json").is_file():
                raise
            # Another process was first.
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if path is None and (namespace := parse_dataset_id(dataset_id)[0]) is not None:
        with contextlib.suppress(ValueError):  # it exists
            create_namespace(namespace)
    return MinariDataset(target / "data")
