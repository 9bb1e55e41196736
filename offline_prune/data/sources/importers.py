"""Import files of recorded transitions as Minari datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minari import MinariDataset

from offline_prune.base.arguments import shown
from offline_prune.data.made.store import check_new_id, write_dataset
from offline_prune.data.sources.files import read_rows
from offline_prune.data.sources.recorded import RowOptions, from_fields
from offline_prune.errors import DatasetError

__all__ = ["import_file"]


def import_file(
    path: str | Path,
    dataset_id: str,
    *,
    env: str | None = None,
    episode_length: int | None = None,
    cut_at_jumps: bool = False,
) -> MinariDataset:
    """Import recorded transitions: an HDF5 or npz file, or LeRobot's folder.

    Files hold N rows of ``observations``, ``actions``, ``rewards`` and ``terminals`` in the
    names of D4RL, NeoRL-2 or d3rlpy. D4RL's add ``timeouts`` (and perhaps
    ``next_observations``), d3rlpy's v1 ``episode_terminals``; the keys tell which it is
    (:func:`~offline_prune.data.sources.fields.fields_of`). Rows after the last flag are an
    episode that was cut off. A folder is LeRobot's
    (:func:`~offline_prune.data.sources.lerobot.lerobot_fields`).

    What follows the last step of an episode is recorded only in ``next_observations``.
    Without it a truncated episode loses its last transition, whose next observation
    cannot be known, and a terminated one repeats its last observation, which nothing
    is ever bootstrapped from. Where it is recorded it says whether the next row follows:
    rows of several environments in turn, shuffled ones, and episodes whose ends are not
    marked are found by it.

    Args:
        path: The file or folder.
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
        DatasetError: If the id is taken, the file is in none of the layouts, the
            environment is not known, or it cannot be told where episodes end: no flag
            marks an end, rows do not follow each other, or an episode is longer than the
            environment's limit. Nothing is written.

    Examples:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from offline_prune.data import import_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(
        ...         f"{folder}/arm.npz", observations=np.zeros((4, 2)), actions=np.zeros((4, 1)),
        ...         rewards=np.ones(4), terminals=[False, True, False, True],
        ...     )
        ...     os.environ["MINARI_DATASETS_PATH"] = folder  # where Minari keeps its datasets
        ...     dataset = import_file(f"{folder}/arm.npz", "lab/arm-v0")
        >>> dataset.total_episodes, dataset.total_steps
        (2, 4)
    """
    options = RowOptions(env, episode_length, cut_at_jumps).checked()
    check_new_id(dataset_id)
    if not isinstance(path, str | Path):
        raise DatasetError(f"Expected the path of a file or folder, not {shown(path)}.")
    path = Path(path)
    # What load_dataset would refuse is not written.
    recorded = from_fields(read_rows(path), options)
    origin = recorded.origin
    metadata: dict[str, Any] = {"description": f"Imported from {path.name}."}
    if not origin.rewards_recorded:
        metadata["description"] += " No rewards are recorded: they are 0 everywhere."
        metadata["rewards_recorded"] = False
    return write_dataset(
        dataset_id,
        recorded.episodes,
        observation_space=origin.observation_space,
        action_space=origin.action_space,
        env_spec=origin.env_spec,
        metadata=metadata,
    )
