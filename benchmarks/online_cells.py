"""Cells of an online study: each is trained once, and what came of it kept in one file.

A cell is a dictionary that decides everything. Its record is the cell and what came out; all
records of a study are lines of one JSON file in ``results``, written aside and renamed, so that
a killed run loses the cell it was at and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from offline_prune.base.atomic import written_aside

RESULTS = Path(__file__).parent / "results"

Record = dict[str, Any]


def records(study: str) -> list[Record]:
    """What is known of a study's cells."""
    path = RESULTS / f"{study}.json"
    return json.loads(path.read_text()) if path.exists() else []


def run_cells(
    study: str, cells: Iterable[Mapping[str, Any]], run: Callable[..., Mapping[str, Any]]
) -> None:
    """Train the cells that are not there yet, in order."""
    for cell in cells:
        found = records(study)
        if any(all(record.get(k) == v for k, v in cell.items()) for record in found):
            continue
        record = {**cell, **run(**cell)}
        path = RESULTS / f"{study}.json"
        # Several processes may train cells of one study.
        with FileLock(path.with_suffix(".lock")), written_aside(path) as aside:
            lines = ",\n".join(json.dumps(entry) for entry in [*records(study), record])
            aside.write_text(f"[\n{lines}\n]\n")
        print(record, flush=True)


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Mean ± standard deviation over seeds, and how many."""
    found = list(values)
    if not found:
        return "–"
    deviation = f" ± {np.std(found, ddof=1):.{digits}f}" if len(found) > 1 else ""
    return f"{np.mean(found):.{digits}f}{deviation} ({len(found)})"
