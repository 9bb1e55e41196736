"""The records of a study: one JSON file a cell, written whole or not at all.

A folder of a study holds

- ``cells/<id>.json``: everything known of one finished or failed cell;
- ``table.csv`` and ``table.parquet``: one row a cell, the same whenever the same cells
  are done, however often the study was stopped;
- ``timings.csv``: the seconds each cell took, which are never twice the same;
- ``checkpoints/``: the states of runs that are not finished.

A record has ``format``, ``id``, ``cell`` (all fields of the cell), ``status`` (``"ok"`` or
``"failed"``), ``error``, ``traceback``, ``result`` (None where it failed: returns, the
learning ``curve``, final-window means, sparsities, weights kept, ``networks`` with the
densities of their layers), ``timing`` and ``versions``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from offline_prune.base.atomic import written_aside
from offline_prune.errors import OutputDirectoryError

__all__ = [
    "FORMAT",
    "check_is_study",
    "checkpoints_path",
    "read_record",
    "read_records",
    "write_record",
]

FORMAT = 1
"""Of the records."""


def check_is_study(directory: str | Path) -> None:
    """Refuse a folder that no sweep wrote.

    Args:
        directory: The folder.

    Raises:
        OutputDirectoryError: If it has no cells.
    """
    if not (Path(directory) / "cells").is_dir():
        raise OutputDirectoryError(
            f"{directory} is not the folder of a study: it has no cells. Expected a folder"
            " that sweep(…, out=…) or 'offline-prune sweep --out' wrote; of a single run report_run"
            " makes the page."
        )


def checkpoints_path(directory: Path) -> Path:
    """The folder of the states of unfinished runs."""
    return directory / "checkpoints"


def write_record(directory: Path, record: Mapping[str, Any]) -> Path:
    """Write the record of a cell, whole or not at all.

    Args:
        directory: The study's folder.
        record: The record.

    Returns:
        The file.
    """
    path = _path(directory, record["id"])
    with written_aside(path) as aside:
        aside.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def read_record(directory: Path, name: str) -> dict[str, Any] | None:
    """Read the record of a cell.

    Args:
        directory: The study's folder.
        name: Id of the cell.

    Returns:
        The record; None if the cell is not done, or its file cannot be read.
    """
    return _read(_path(directory, name))


def read_records(directory: str | Path) -> list[dict[str, Any]]:
    """Read the records of all cells that are done.

    Args:
        directory: The study's folder.

    Returns:
        The records by dataset, algorithm, method, sparsity and seed.

    Examples:
        >>> import tempfile
        >>> from offline_prune import sweep
        >>> folder = tempfile.TemporaryDirectory()
        >>> study = sweep(
        ...     "pendulum/mixture-v0", "bc", [0.0, 0.9], "snip", seeds=2, out=f"{folder.name}/s",
        ...     n_steps=20, evaluate=1, evaluations=1, progress=False,
        ... )
        >>> from offline_prune.study import read_records
        >>> [record["cell"]["seed"] for record in read_records(study.directory)]
        [0, 1, 0, 1]
        >>> folder.cleanup()
    """
    files = (Path(directory) / "cells").glob("*.json")
    return sorted((r for r in map(_read, files) if r is not None), key=_order)


def _path(directory: Path, name: str) -> Path:
    return directory / "cells" / f"{name}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    is_ours = record.get("format") == FORMAT and record.get("id") == path.stem
    return record if is_ours else None


def _order(record: Mapping[str, Any]) -> tuple[Any, ...]:
    cell = record["cell"]
    sparsity = cell["sparsity"]
    is_number = isinstance(sparsity, int | float)
    by_role = "" if is_number else json.dumps(sparsity, sort_keys=True)
    number = sparsity if is_number else -1.0
    dense_first = cell["method"] != "dense"
    return (cell["dataset"], cell["algo"], dense_first, cell["method"], number, by_role,
            cell["seed"], record["id"])  # fmt: skip
