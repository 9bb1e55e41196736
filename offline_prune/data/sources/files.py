"""Files and folders of recorded transitions: npz archives, HDF5, LeRobot's folders."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from offline_prune.base.arguments import in_one_line
from offline_prune.base.memory import check_room
from offline_prune.data.sources.fields import Fields, fields_of
from offline_prune.data.sources.lerobot import is_lerobot, lerobot_fields
from offline_prune.data.sources.self_contained import check_self_contained
from offline_prune.errors import DatasetError, InputError

__all__ = ["holds_rows", "read_rows"]


def holds_rows(path: Path) -> bool:
    """Whether rows of transitions are to be looked for at a path, not a Minari dataset.

    Args:
        path: Of a file or folder that is there.

    Returns:
        True for an npz or HDF5 file and for a folder in LeRobot's layout.
    """
    if path.is_file():
        return _is_npz(path) or bool(h5py.is_hdf5(path))
    return is_lerobot(path)


def read_rows(path: Path) -> Fields:
    """Read recorded transitions; no code of the file is executed.

    Args:
        path: An ``.npz`` file, an HDF5 file, or a folder in LeRobot's layout.

    Returns:
        Its rows.

    Raises:
        DatasetError: If it is none of them, or as :func:`fields_of` says.
    """
    if path.is_dir():
        return lerobot_fields(path)
    open_, kind = (_npz, "an npz archive") if _is_npz(path) else (_hdf5, "an HDF5 file")
    with ExitStack() as stack:
        try:
            arrays = open_(path, stack)
            list(arrays)  # all names can be read
        except InputError:
            raise
        except Exception as error:  # whatever a reader of damaged files may raise
            raise DatasetError(
                f"{path} cannot be read as {kind}: {in_one_line(error)}. Expected N rows of"
                " recorded transitions. Get the file again."
            ) from error
        return fields_of(arrays, str(path))


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _hdf5(path: Path, stack: ExitStack) -> Mapping[str, Any]:
    file: Mapping[str, Any] = stack.enter_context(h5py.File(path, "r"))
    check_self_contained(file, path)
    return file


def _npz(path: Path, stack: ExitStack) -> Mapping[str, Any]:
    with zipfile.ZipFile(path) as archive:
        check_room(str(path), sum(entry.file_size for entry in archive.infolist()))
    archived: Mapping[str, Any] = stack.enter_context(np.load(path, allow_pickle=False))
    return archived
