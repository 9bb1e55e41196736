"""Refuse HDF5 files that reach beyond themselves or repeat themselves without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from offline_prune.errors import DatasetError

__all__ = ["check_self_contained"]

_MOST_INFLATED = 2**30  # bytes that a file may declare beyond 2 000 times its size


def check_self_contained(file: h5py.File, path: Path) -> None:
    """Check the links and arrays of an HDF5 file; no array is read.

    HDF5 can point a name at another file (external and soft links), an array at the
    bytes of any file (external storage) or of other files (virtual arrays), and a group
    at one that holds it. Files of recorded data have none of that: what is read is in
    the file and nowhere else.

    Args:
        file: The open file.
        path: Its path, for the message.

    Raises:
        DatasetError: If something in it leads out of the file or back to a group above
            it, or it declares far more data than it holds; names the entry.
    """
    declared = _declared_bytes(file["/"], path, {})
    size = path.stat().st_size
    if declared > _MOST_INFLATED + 2_000 * size:
        raise DatasetError(
            f"{path} declares {declared:.2e} bytes of arrays, but holds {size}. Expected"
            " arrays that were written. Get the file again."
        )


def _declared_bytes(group: Any, path: Path, above: dict[Any, str]) -> float:
    """Bytes of all arrays of a group; ``above``: the groups it is in."""
    key = (h5py.h5o.get_info(group.id).fileno, h5py.h5o.get_info(group.id).addr)
    if key in above:
        raise DatasetError(
            f"{path}: {group.name} leads back to {above[key]}, so the file has no end."
            " Expected groups inside one another. Get the file again."
        )
    within = {**above, key: group.name}
    total = 0.0
    for name in group:
        where = f"{group.name.rstrip('/')}/{name}"
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise DatasetError(
                f"{path}: {where} is a link to {getattr(link, 'filename', '')}"
                f"{getattr(link, 'path', '')}, not data. Expected a file that holds its own"
                " data: copy what the link leads to in its place."
            )
        entry = group[name]
        if isinstance(entry, h5py.Group):
            total += _declared_bytes(entry, path, within)
        elif isinstance(entry, h5py.Dataset):
            if entry.external or entry.is_virtual:
                raise DatasetError(
                    f"{path}: {where} is stored in other files. Expected a file that holds"
                    " its own data: copy the array into it."
                )
            total += float(entry.size or 0) * entry.dtype.itemsize
    return total
