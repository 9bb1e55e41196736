"""load_dataset: from whatever names a dataset to flat arrays."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import minari
from d3rlpy.dataset import ReplayBufferBase
from minari import MinariDataset

from offline_prune.data.dataset import Dataset
from offline_prune.data.made.collect import collect
from offline_prune.data.made.store import local_path
from offline_prune.data.observations import Images
from offline_prune.data.sources.d3rlpy_source import from_d3rlpy
from offline_prune.data.sources.fields import fields_of
from offline_prune.data.sources.files import holds_rows, read_rows
from offline_prune.data.sources.minari_source import from_minari, open_minari
from offline_prune.data.sources.recorded import RowOptions, from_fields
from offline_prune.errors import DatasetError, DatasetNotFoundError, UnknownNameError
from offline_prune.recipes.datasets import list_dataset_recipes
from offline_prune.recipes.shipped_files import shipped

__all__ = ["load_dataset"]

_PROBE_SECONDS = 2.0  # Minari itself retries for tens of seconds without a network


def load_dataset(
    source: Any,
    *,
    images: Images = "auto",
    env: str | None = None,
    episode_length: int | None = None,
    cut_at_jumps: bool = False,
) -> Dataset:
    """Load a fixed dataset, aligned and checked.

    Args:
        source: A Minari id; a ``minari.MinariDataset``; a d3rlpy ``ReplayBuffer`` or
            ``MDPDataset``; the folder of a Minari dataset; recorded transitions; or a
            :class:`Dataset`, which is returned as it is. An id is looked for in Minari's
            local root (``MINARI_DATASETS_PATH``) first, then among the recipes: an embedded
            dataset is made or opened, an official one downloaded by Minari. Recorded
            transitions are a mapping of arrays, an ``.npz`` or HDF5 file, N rows each in the
            names of D4RL, NeoRL-2 or d3rlpy
            (:func:`~offline_prune.data.sources.fields.fields_of`); or a folder of LeRobot's
            (:func:`~offline_prune.data.sources.lerobot.lerobot_fields`).
        images: Where the channels of images are: ``"channels_first"``, ``"channels_last"``,
            or ``"vector"`` for arrays that are no images; ``"auto"`` decides by shape and
            dtype (:class:`~offline_prune.data.observations.ObservationLayout`). d3rlpy's
            buffers have them first unless they are said to be last.
        env: Of recorded transitions: gymnasium id of their environment, which gives the
            spaces and evaluates. None: they are not evaluated, and spaces are taken from
            the arrays (:class:`~offline_prune.data.sources.recorded.RowOptions`).
        episode_length: Of recorded transitions: steps after which an episode ends, beside
            the flags.
        cut_at_jumps: Of recorded transitions: whether an episode also ends where
            ``next_observations`` is another observation than that of the next row.

    Returns:
        Flat arrays, metadata and a replay buffer for d3rlpy;
        ``str(data.metadata.observation_layout)`` says how observations were read.

    Raises:
        DatasetNotFoundError: If it is not here and cannot be had; says how to get it.
        UnknownNameError: If nothing of this name is known.
        EpisodeError: If an episode is broken; names the episode and the step.
        ActionSpaceError: If d3rlpy cannot train on its action space.
        DatasetError: If it is empty or damaged, or it cannot be told where episodes end.

    Warns:
        DatasetWarning: If something of a source is left aside, or it has no rewards.

    Examples:
        >>> import numpy as np
        >>> from offline_prune import load_dataset
        >>> rows = {
        ...     "observations": np.zeros((6, 2)),
        ...     "actions": np.zeros((6, 1)),
        ...     "rewards": np.ones(6),
        ...     "terminals": [False, False, True, False, False, True],
        ... }
        >>> data = load_dataset(rows)
        >>> data.observations.shape, data.metadata.episodes, data.metadata.mean_return
        ((6, 2), 2, 3.0)
    """
    rows = RowOptions(env, episode_length, cut_at_jumps).checked()
    if isinstance(source, str):
        source = _find(source)
    elif isinstance(source, os.PathLike):
        source = Path(source)
        if not _exists(source):
            raise DatasetNotFoundError(f"There is no dataset at {source}.")
    if isinstance(source, Mapping):
        return from_fields(fields_of(source, "This mapping"), rows, images).data
    if isinstance(source, Path) and holds_rows(source):
        return from_fields(read_rows(source), rows, images).data
    if rows != RowOptions():
        raise DatasetError(
            "env=…, episode_length=… and cut_at_jumps=… say what recorded transitions (arrays,"
            " .npz, HDF5, LeRobot) do not; this source says it itself. Leave them out."
        )
    if isinstance(source, Dataset):
        if images != "auto":
            raise DatasetError(
                "images=… says how to read a source, and this dataset is loaded already. Load"
                " it anew."
            )
        return source
    if isinstance(source, MinariDataset):
        return from_minari(source, images)
    if isinstance(source, ReplayBufferBase):
        return from_d3rlpy(source, images)
    if isinstance(source, Path):
        return from_minari(open_minari(source), images)
    raise DatasetError(
        "A dataset is a Minari id, a Minari dataset, a d3rlpy replay buffer, a mapping of arrays"
        f" or a path, not {type(source).__name__}."
    )


def _find(name: str) -> MinariDataset | Path:
    """What a name stands for; a path is looked at last."""
    local = local_path(name)
    # Beneath a root an absolute path is itself.
    if name and not Path(name).is_absolute() and _exists(local / "data"):
        return open_minari(local)
    recipes = list_dataset_recipes()
    if name in recipes:
        recipe = recipes[name]
        if recipe.kind == "generated":
            return collect(recipe)
        if recipe.kind == "bundled":
            return open_minari(shipped("datasets") / "bundled" / name)
        return _download(name)
    if name and _exists(Path(name)):
        return Path(name)
    raise UnknownNameError("dataset", name, {*recipes, *_local_ids()})


def _exists(path: Path) -> bool:
    """Whether there is such a path; one too long for the file system is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _local_ids() -> list[str]:
    """Ids in Minari's local root, whatever else lies there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of datasets that are damaged
            return list(minari.list_local_datasets())
    except Exception:  # whatever a folder that is no dataset may lead to
        return []


def _download(name: str) -> MinariDataset:
    """Let Minari download a dataset, but fail at once where it cannot."""
    try:
        _check_remote()
        minari.download_dataset(name)
    except Exception as error:  # whatever a client of a remote store may raise
        raise DatasetNotFoundError(
            f"The dataset {name} is not on this machine and cannot be downloaded"
            f" ({error}). On a machine with a network run 'minari download {name}', copy"
            " its folder here and point MINARI_DATASETS_PATH at the root. Datasets that"
            " need no download: "
            + ", ".join(n for n, r in list_dataset_recipes().items() if r.kind != "minari")
            + "."
        ) from error
    return open_minari(local_path(name))


def _check_remote() -> None:
    """Raise an error within seconds where Minari's remote store is out of reach."""
    from minari.storage.remotes import get_cloud_storage

    endpoint = getattr(getattr(get_cloud_storage(), "_api", None), "endpoint", None)
    if endpoint is not None:
        url = urlsplit(endpoint)
        port = url.port or (443 if url.scheme == "https" else 80)
        socket.create_connection((url.hostname, port), timeout=_PROBE_SECONDS).close()
