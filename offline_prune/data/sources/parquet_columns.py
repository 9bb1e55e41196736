"""Columns of parquet files as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.base.arguments import in_one_line, shown
from offline_prune.base.memory import check_room
from offline_prune.errors import DatasetError, InputError

__all__ = ["read_columns"]


def read_columns(
    paths: Sequence[Path], columns: Sequence[str], where: str
) -> dict[str, NDArray[Any]]:
    """Read columns of numbers, all files one after another; other columns are not read.

    Args:
        paths: The files, at least one.
        columns: Names of columns that hold a number a row, or lists of equally many,
            nested or not.
        where: What to call the files in a message.

    Returns:
        Name → array of as many rows as all files have.

    Raises:
        DatasetError: If a column is missing, has gaps or another shape in another file; if
            pyarrow is not installed.
        InputError: If memory cannot hold them.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DatasetError(
            f"{where} holds parquet files, which pyarrow reads: pip install"
            ' "offline-prune[lerobot]".'
        ) from error
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in columns}
    size = 0
    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                size += 8 * _numbers(file.metadata, columns)
                check_room(where, size)
                table = file.read(columns=list(columns))  # those that are there
                for name in columns:
                    chunks = table.column(name).chunks
                    parts[name] += [_array(chunk) for chunk in chunks if len(chunk)]
        except InputError:
            raise
        except Exception as error:  # whatever a reader of damaged files may raise
            raise DatasetError(
                f"{path} cannot be read: {in_one_line(error)}. Expected a parquet file with the"
                f" columns {', '.join(columns)}, numbers without gaps. Get it again."
            ) from error
    return {name: _joined(parts[name], name, where) for name in columns}


def _numbers(metadata: Any, columns: Sequence[str]) -> int:
    """Numbers that the columns hold once they are unpacked, which may be many times the file."""
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    parts = (group.column(j) for group in groups for j in range(group.num_columns))
    starts = tuple(f"{name}." for name in columns)
    return sum(part.num_values for part in parts if f"{part.path_in_schema}.".startswith(starts))


def _joined(parts: list[NDArray[Any]], name: str, where: str) -> NDArray[Any]:
    shapes = sorted({part.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise DatasetError(
            f"{where}: {name} is of the shapes {shown(shapes)} a row in its files; expected one."
            " Get them again."
        )
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _array(values: Any) -> NDArray[Any]:
    """A piece of a column.

    Raises:
        ValueError: If a number is missing, or lists have different lengths.
    """
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
