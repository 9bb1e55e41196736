"""Studies: many runs on one grid, seeded, resumable, in one table."""

from __future__ import annotations

from offline_prune.study.cell import DENSE, Cell
from offline_prune.study.grid import plan, read_grid
from offline_prune.study.records import read_records
from offline_prune.study.sweep import SweepResult, run_cells, sweep
from offline_prune.study.table import read_table

__all__ = [
    "DENSE",
    "Cell",
    "SweepResult",
    "plan",
    "read_grid",
    "read_records",
    "read_table",
    "run_cells",
    "sweep",
]
