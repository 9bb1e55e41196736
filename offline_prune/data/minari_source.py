"""Minari datasets as a source of episodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from minari import MinariDataset

from offline_prune.data.dataset import Dataset
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from offline_prune.errors import DatasetError

__all__ = ["from_minari", "open_minari"]


def from_minari(source: MinariDataset) -> Dataset:
    """Load a Minari dataset, aligned and checked.

    Args:
        source: The dataset; a filtered one keeps its filter.

    Returns:
        The dataset.

    Raises:
        DatasetError: If the files are damaged, or as :func:`collect_episodes` says.
    """
    metadata = source.storage.metadata
    origin = Origin(
        dataset_id=source.id,
        # Minari has no public name for the evaluation environment's spec.
        env_spec=source._eval_env_spec or source.env_spec,
        observation_space=source.observation_space,
        action_space=source.action_space,
        steps=source.total_steps,
        reference_min=_number(metadata.get("ref_min_score")),
        reference_max=_number(metadata.get("ref_max_score")),
    )
    try:
        return collect_episodes(_episodes(source), origin)
    except (OSError, KeyError, AssertionError) as error:
        raise DatasetError(
            f"The files of {source.id} are damaged or incomplete ({error!r}). Delete the"
            " dataset and get it again."
        ) from error


def _episodes(source: MinariDataset) -> Iterator[RawEpisode]:
    for episode in source.iterate_episodes():
        yield RawEpisode(
            f"{source.id}, episode {episode.id}",
            episode.observations,
            episode.actions,
            episode.rewards,
            episode.terminations,
            episode.truncations,
        )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def open_minari(path: Path) -> MinariDataset:
    """Open the Minari dataset in a folder.

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
            hint = (
                " A file of recorded transitions becomes a dataset with 'offline-prune"
                " import FILE ID'."
                if h5py.is_hdf5(path)
                else " Expected a folder, not a file."
            )
        raise DatasetError(
            f"{path} is not a Minari dataset: expected a folder with data/metadata.json.{hint}"
        )
    try:
        return MinariDataset(data)
    except (OSError, KeyError, ValueError, AssertionError) as error:
        raise DatasetError(f"{path} cannot be opened as a Minari dataset: {error}.") from error
