"""Minari datasets as a source of episodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from gymnasium import Space
from gymnasium.envs.registration import EnvSpec
from minari import MinariDataset
from minari.dataset._storages import get_minari_storage
from minari.dataset.minari_dataset import parse_dataset_id
from minari.dataset.minari_storage import is_image_space
from minari.serialization import deserialize_space

from offline_prune.base.arguments import in_one_line
from offline_prune.data.dataset import Dataset
from offline_prune.data.environment import make_registered, trusted_spec
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from offline_prune.data.observations import Images, ObservationLayout, leaf_spaces
from offline_prune.data.sources.self_contained import check_self_contained
from offline_prune.errors import DatasetError, EnvironmentUnavailableError, InputError

__all__ = ["from_minari", "open_minari"]

_JPEG = b"\xff\xd8\xff"


def from_minari(source: MinariDataset, images: Images = "auto") -> Dataset:
    """Load a Minari dataset, aligned and checked.

    Images of 32×32 and larger that Minari stored as JPEG, its default, come as they were
    decoded: near to what the environment showed, not the same.

    Args:
        source: The dataset; a filtered one keeps its filter.
        images: How to read images.

    Returns:
        The dataset.

    Raises:
        DatasetError: If the files are damaged, or as :func:`collect_episodes` says.
    """
    try:
        metadata = source.storage.metadata
        origin = Origin(
            dataset_id=_checked_id(source.id),
            # Minari has no public name for the evaluation environment's spec.
            env_spec=source._eval_env_spec or source.env_spec,
            observation_space=source.observation_space,
            action_space=source.action_space,
            episodes=len(source),
            steps=source.total_steps,
            reference_min=_number(metadata, "ref_min_score"),
            reference_max=_number(metadata, "ref_max_score"),
            layout=ObservationLayout.of(source.observation_space, images),
            rewards_recorded=metadata.get("rewards_recorded") is not False,
        )
        _check_files(source)
    except InputError:
        raise
    except Exception as error:  # whatever readers of damaged files may raise
        raise _damaged(source.id, "", error) from error
    return collect_episodes(_episodes(source), origin)


def _episodes(source: MinariDataset) -> Iterator[RawEpisode]:
    """The episodes; what Minari raises of its files is named with the episode."""
    where = ""
    try:
        episodes = source.iterate_episodes()
        for i in source.episode_indices:
            name = f"{source.id}, episode {i}"
            where = f" at {name}"
            yield RawEpisode.of(name, next(episodes))
    except DatasetError:
        raise
    except Exception as error:  # whatever readers of damaged files may raise
        raise _damaged(source.id, where, error) from error


def _damaged(name: str, where: str, error: Exception) -> DatasetError:
    return DatasetError(
        f"The files of {name} are damaged or incomplete{where} ({in_one_line(error)}). Delete the"
        " dataset and get it again."
    )


def _checked_id(dataset_id: object) -> str:
    try:
        parse_dataset_id(dataset_id)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"The metadata's dataset_id is {dataset_id!r}; expected (namespace/)name-v<version>,"
            " e.g. 'mine/cartpole-v0'. Correct metadata.json."
        ) from error
    return str(dataset_id)


def _number(metadata: dict[str, Any], name: str) -> float | None:
    value = metadata.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise DatasetError(
            f"The metadata's {name} is {value!r}; expected a finite number. Correct"
            " metadata.json, or remove the entry."
        )
    return float(value)


def _check_files(source: MinariDataset) -> None:
    """Check what a reader would follow or execute, before Minari reads any of it."""
    storage = source.storage
    files = Path(storage.data_path).glob("*.hdf5")
    for path in files if storage.FORMAT == "hdf5" else ():
        with h5py.File(path, "r") as file:
            check_self_contained(file, path)
    stored, counted = _stored_episodes(storage), int(storage.total_episodes)
    if stored > counted:
        raise DatasetError(
            f"The files of {source.id} hold {stored} episodes; its metadata count {counted}: some"
            " would be left out. Correct total_episodes and total_steps in metadata.json, or get"
            " the dataset again."
        )
    leaves = leaf_spaces(source.observation_space) if storage.jpeg_encoding else []
    images = [keys for keys, space in leaves if is_image_space(space)]
    for i in source.episode_indices if images else ():
        for keys in images:
            _check_images(source, int(i), keys)


def _stored_episodes(storage: Any) -> int:
    folder = Path(storage.data_path)
    if storage.FORMAT == "hdf5":
        with h5py.File(folder / "main_data.hdf5", "r") as file:
            return sum(name.startswith("episode_") for name in file)
    return sum(path.name.isdecimal() and path.is_dir() for path in folder.iterdir())


def _check_images(source: MinariDataset, episode: int, keys: tuple[str | int, ...]) -> None:
    """Refuse images that are no JPEG: Pillow opens other kinds with other programs."""
    read = _stored_hdf5 if source.storage.FORMAT == "hdf5" else _stored_arrow
    for step, row in enumerate(read(source.storage, episode, keys)):
        if bytes(row[:3]) != _JPEG:
            raise DatasetError(
                f"{source.id}, episode {episode}, step {step}:"
                f" {'/'.join(map(str, ('observations', *keys)))} holds no JPEG image, which the"
                " metadata's jpeg_encoding declares. Write the dataset anew."
            )


def _stored_hdf5(storage: Any, episode: int, keys: tuple[str | int, ...]) -> Any:
    """The images of an episode as their bytes."""
    names = [f"_index_{key}" if isinstance(key, int) else key for key in keys]
    with h5py.File(Path(storage.data_path) / "main_data.hdf5", "r") as file:
        return file["/".join((f"episode_{episode}", "observations", *names))][()]


def _stored_arrow(storage: Any, episode: int, keys: tuple[str | int, ...]) -> Iterator[bytes]:
    """The same of Minari's Arrow and Parquet files; it has imported pyarrow by then."""
    from pyarrow import dataset

    files = dataset.dataset(
        f"{storage.data_path}/{episode}",
        format=storage.FORMAT,
        ignore_prefixes=["_", ".", "metadata.json"],  # as Minari opens them
    )
    for batch in files.to_batches(columns=["observations"]):
        column = batch.column("observations")
        for key in keys:
            column = column.field(str(key))
        yield from (image.as_py() for image in column)


def open_minari(path: Path) -> MinariDataset:
    """Open the Minari dataset in a folder.

    The dataset's environment is made only where its metadata lack the spaces, and with
    the code that gymnasium has registered for it (:func:`trusted_spec`).

    Args:
        path: The dataset's folder, or its ``data`` folder.

    Returns:
        The Minari dataset.

    Raises:
        DatasetError: If the folder holds none.
    """
    data = path if (path / "metadata.json").is_file() else path / "data"
    if not (data / "metadata.json").is_file():
        hint = ""
        if path.is_file():
            hint = " A file is .npz or HDF5, and holds recorded transitions."
        raise DatasetError(
            f"{path} is not a Minari dataset: expected a folder with data/metadata.json.{hint}"
        )
    try:
        metadata = json.loads((data / "metadata.json").read_text(encoding="utf-8"))
        observation_space, action_space = _spaces(metadata)
        storage = get_minari_storage(metadata["data_format"])(
            data,
            observation_space,
            action_space,
            jpeg_encoding=bool(metadata.get("jpeg_encoding", True)),
        )
        for count in ("total_episodes", "total_steps"):
            _check_count(metadata, count)
        return MinariDataset(storage)
    except DatasetError:
        raise
    except Exception as error:  # whatever readers of damaged metadata may raise
        raise DatasetError(
            f"{path} cannot be opened as a Minari dataset: {in_one_line(error)}."
        ) from error


def _check_count(metadata: dict[str, Any], name: str) -> None:
    value = metadata[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**40:
        raise DatasetError(
            f"The metadata's {name} is {value!r}; expected a count. Correct metadata.json,"
            " or get the dataset again."
        )


def _spaces(metadata: dict[str, Any]) -> tuple[Space[Any], Space[Any]]:
    """Observation and action space, from the metadata or else the environment."""
    spaces = {
        name: deserialize_space(metadata[name])
        for name in ("observation_space", "action_space")
        if name in metadata
    }
    if len(spaces) < 2:
        # Minari would import and call whatever the file's environment names.
        removed_in_gymnasium_1 = (
            '"order_enforce": true,',
            '"apply_api_compatibility": false,',
            '"autoreset": false, ',
        )
        text = metadata["env_spec"]
        for part in removed_in_gymnasium_1:
            text = text.replace(part, "")
        try:
            environment = make_registered(trusted_spec(EnvSpec.from_json(text)))
        except EnvironmentUnavailableError as error:
            raise DatasetError(
                f"The dataset leaves its spaces to its environment, but {error}."
            ) from error
        spaces.setdefault("observation_space", environment.observation_space)
        spaces.setdefault("action_space", environment.action_space)
        environment.close()
    return spaces["observation_space"], spaces["action_space"]
