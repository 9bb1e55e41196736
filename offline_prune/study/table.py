"""The tidy table of a study: one row a cell."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from offline_prune.base.atomic import written_aside
from offline_prune.evaluation.plan import planned
from offline_prune.study.records import check_is_study, read_records

__all__ = ["COLUMNS", "TIMING_COLUMNS", "parquet_available", "read_table", "write_tables"]

COLUMNS: Mapping[str, type] = {
    "id": str,
    "dataset": str,
    "algo": str,
    "method": str,
    "sparsity": float,
    "sparsity_by_network": str,
    "seed": int,
    "status": str,
    "error": str,
    "mean_return": float,
    "std_return": float,
    "normalized_score": float,
    "last_mean_return": float,
    "final_window_mean_return": float,
    "final_window_normalized_score": float,
    "success_rate": float,
    "final_window_success_rate": float,
    "fitted_q": float,
    "behaviour": float,
    "episodes": int,
    "points": int,
    "window": int,
    "not_evaluated": str,
    "removed": float,
    "effective_sparsity": float,
    "weights": int,
    "weights_kept": int,
    "weights_connected": int,
    "kept_by_network": str,
    "n_steps": int,
    "batch_size": int,
    "allocation": str,
    "structure": str,
    "n_batches": int,
    "average": str,
    "float64": bool,
    "refill": bool,
    "rescale": bool,
    "parameterization": str,
    "averaging": str,
    "share_critics": bool,
    "feature_steps": int,
    "frame_stack": int,
    "transition_steps": int,
    "engine": str,
    "device": str,
    "algo_params": str,
}
"""Column → type of the table. ``sparsity`` is what was asked for, of all networks (empty
where networks differ or ``"auto"`` chose, see ``sparsity_by_network``), ``removed`` what the
nominal mask removes; ``fitted_q`` and ``behaviour`` are discounted values of an off-policy
evaluation, the policy's and the data's; success rates are empty where the environment tells of no
goal; columns by network, and ``algo_params``, are JSON."""

TIMING_COLUMNS = ("id", "seconds", "scoring_seconds", "training_seconds", "curve_seconds")
"""Columns of the timings: the whole cell, scoring and masking, training, and the
evaluations while training; of a run that was resumed, training counts all its parts."""


def write_tables(directory: Path) -> list[dict[str, Any]]:
    """Write the tables of all cells that are done, each whole or not at all.

    Args:
        directory: The study's folder.

    Returns:
        The rows of the table.
    """
    records = read_records(directory)
    rows = [_row(record) for record in records]
    _write_csv(directory / "table.csv", list(COLUMNS), rows)
    timings = [{"id": r["id"], **r["timing"]} for r in records]
    _write_csv(directory / "timings.csv", TIMING_COLUMNS, timings)
    if parquet_available():
        _write_parquet(directory / "table.parquet", rows)
    return rows


def read_table(directory: str | Path) -> list[dict[str, Any]]:
    """Read the table of a study from its cells.

    Args:
        directory: The study's folder.

    Returns:
        One row a cell: column → value, as in :data:`COLUMNS`; None where there is none.

    Raises:
        OutputDirectoryError: If the folder is not that of a study.

    Examples:
        >>> import tempfile
        >>> from offline_prune import sweep
        >>> folder = tempfile.TemporaryDirectory()
        >>> study = sweep(
        ...     "pendulum/mixture-v0", "bc", [0.0, 0.9], "snip", seeds=2, out=f"{folder.name}/s",
        ...     n_steps=20, evaluate=1, evaluations=1, progress=False,
        ... )
        >>> from offline_prune.study import read_table
        >>> read_table(study.directory) == study.rows
        True
        >>> folder.cleanup()
    """
    check_is_study(directory)
    return [_row(record) for record in read_records(directory)]


def parquet_available() -> bool:
    """Whether pyarrow is installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        return False
    return True


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    cell, result = record["cell"], record["result"] or {}
    sparsity = cell["sparsity"]
    is_number = isinstance(sparsity, int | float)
    networks = {role: n["weights_kept"] for role, n in result.get("networks", {}).items()}
    off_policy = result.get("off_policy") or {}
    found = {
        **cell,
        **{name: result.get(name) for name in COLUMNS if name not in cell},
        "id": record["id"],
        "status": record["status"],
        "error": record["error"],
        "sparsity": float(sparsity) if is_number else None,
        "sparsity_by_network": None if is_number else _json(sparsity),
        "removed": result.get("sparsity"),
        "episodes": planned(cell["evaluate"]).episodes,
        **{name: off_policy.get(name) for name in ("fitted_q", "behaviour")},
        "points": cell["evaluations"],
        "kept_by_network": _json(networks) if networks else None,
        "algo_params": _json(cell["algo_params"]),
    }
    # What the recipe or the method chose where the cell left it open.
    for name in ("n_steps", "batch_size", "allocation", "parameterization", "averaging"):
        found[name] = result.get(name, cell.get(name))
    return {name: found[name] for name in COLUMNS}


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with written_aside(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    with written_aside(path) as aside:
        pq.write_table(pa.Table.from_pylist(list(rows), schema), aside)
