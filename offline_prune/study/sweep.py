"""sweep: every cell of a grid, an independent, seeded, resumable run."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_prune.base.arguments import check_switch, folder_path, whole_number
from offline_prune.base.atomic import refused_write, remove_all_leftovers
from offline_prune.errors import UnknownNameError, WriteError
from offline_prune.study.cell import Cell
from offline_prune.study.checks import check_cells
from offline_prune.study.grid import plan
from offline_prune.study.local_workers import run_locally
from offline_prune.study.lock import locked
from offline_prune.study.progress import StudyProgress
from offline_prune.study.ray_workers import run_on_ray
from offline_prune.study.records import checkpoints_path, read_record, write_record
from offline_prune.study.run import NO_ROOM
from offline_prune.study.table import write_tables

__all__ = ["BACKENDS", "SweepResult", "check_waiting", "run_cells", "sweep"]

BACKENDS: Mapping[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "local": run_locally,
    "ray": run_on_ray,
}
"""Name → what runs cells side by side."""

_TABLE_SECONDS = 30.0  # between two tables; cells are written at once

# What workers on other machines or in older processes may lack.
_ENVIRONMENT = ("MINARI_DATASETS_PATH",)


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Attributes:
        directory: The study's folder: see :mod:`offline_prune.study.records`.
        rows: The table: one row for every cell in the folder.
        n_run: Cells that ran now.
        n_skipped: Cells that were done before.
        n_failed: Cells of this grid that failed, now or before.

    Examples:
        >>> import tempfile
        >>> from offline_prune import sweep
        >>> folder = tempfile.TemporaryDirectory()
        >>> study = sweep(
        ...     "pendulum/mixture-v0", "bc", [0.0, 0.9], "snip", seeds=2, out=f"{folder.name}/s",
        ...     n_steps=20, evaluate=1, evaluations=1, progress=False,
        ... )
        >>> sorted({row["method"] for row in study.rows}), study.n_skipped
        (['dense', 'snip'], 0)
        >>> folder.cleanup()
    """

    directory: Path
    rows: list[dict[str, Any]]
    n_run: int
    n_skipped: int
    n_failed: int


def sweep(
    datasets: str | Path | Sequence[str | Path],
    algos: str | Sequence[str],
    sparsities: Any,
    methods: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    seeds: int | Sequence[int] = 5,
    *,
    out: str | Path,
    algo_params: Mapping[str, Mapping[str, Any]] | None = None,
    exclude: Sequence[Mapping[str, Any]] = (),
    workers: int = 1,
    backend: str = "local",
    retry_failed: bool = False,
    progress: bool = True,
    **options: Any,
) -> SweepResult:
    """Run a grid: every cell an independent, seeded, resumable run.

    Results are written as they finish. A sweep that was stopped or killed goes on where
    it stopped when it is called again, a run in the middle from its last checkpoint, and
    ends with the identical table. A cell that fails is recorded with its error; one that
    meets a full disk is not, and stops the sweep.

    Args:
        datasets: Ids or paths.
        algos: Names of algorithms.
        sparsities: Fractions to remove, in [0, 1); 0 is the dense run.
        methods: Names or expressions of pruning methods, or ``"dense"``.
        seeds: The seeds, or how many from 0 on.
        out: The study's folder: new, or that of a study to go on with, which may have
            grown by further cells.
        algo_params: Algorithm → hyperparameters that replace the recipe's; those of
            ``"*"`` go to all.
        exclude: Combinations to leave out (:func:`~offline_prune.study.plan`).
        workers: Runs side by side, one thread each.
        backend: ``"local"``: processes of this machine, through loky; ``"ray"``: a Ray
            cluster.
        retry_failed: Whether cells that failed before run again.
        progress: Whether to show cells done, running, failed, and the time left.
        **options: Further fields of :class:`~offline_prune.study.Cell`, for all
            algorithms or as a mapping algorithm → value: ``n_steps``, ``evaluate``
            (episodes a point), ``evaluations`` (points), ``window``, ``engine``, ….

    Returns:
        The table and what was done.

    Raises:
        InputError: If anything is wrong; before anything runs.
        OutputDirectoryError: If another process is running a sweep in the folder.
        WriteError: If the disk is full or refuses; finished cells are kept.

    Examples:
        >>> import tempfile
        >>> from offline_prune import sweep
        >>> folder = tempfile.TemporaryDirectory()
        >>> study = sweep(
        ...     "pendulum/mixture-v0", "bc", [0.0, 0.9], "snip", seeds=2, out=f"{folder.name}/s",
        ...     n_steps=20, evaluate=1, evaluations=1, progress=False,
        ... )
        >>> study.n_run, study.n_failed, [row["sparsity"] for row in study.rows]
        (4, 0, [0.0, 0.0, 0.9, 0.9])
        >>> folder.cleanup()
    """
    cells = plan(
        datasets, algos, sparsities, methods, seeds,
        algo_params=algo_params, exclude=exclude, **options,
    )  # fmt: skip
    return run_cells(
        cells, out, workers=workers, backend=backend, retry_failed=retry_failed, progress=progress
    )


@contextmanager
def _refusals_say_how_to_go_on() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        refused = refused_write(error)
        if refused is None:
            raise
        stopped = WriteError(
            f"{refused} The sweep stopped; its finished cells are kept, and the same command"
            " goes on where it stopped."
        )
        stopped.errno = refused.errno
        raise stopped from error


@_refusals_say_how_to_go_on()
def run_cells(
    cells: Sequence[Cell],
    out: str | Path,
    *,
    workers: int = 1,
    backend: str = "local",
    retry_failed: bool = False,
    progress: bool = True,
) -> SweepResult:
    """Run the cells that are not done yet; result and errors are those of :func:`sweep`.

    Args:
        cells: The cells.
        out: The study's folder.
        workers: Runs side by side, one thread each.
        backend: A key of :data:`BACKENDS`.
        retry_failed: Whether cells that failed before run again.
        progress: Whether to show progress.

    Examples:
        >>> import tempfile
        >>> from offline_prune.study import Cell, run_cells
        >>> cells = [
        ...     Cell("pendulum/mixture-v0", "bc", seed, n_steps=20, evaluate=1, evaluations=1)
        ...     for seed in range(2)
        ... ]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = run_cells(cells, f"{folder}/study", progress=False)
        ...     again = run_cells(cells, f"{folder}/study", progress=False)
        >>> first.n_run, again.n_run, again.n_skipped
        (2, 0, 2)
    """
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise UnknownNameError("backend", str(backend), BACKENDS)
    workers = whole_number("workers", workers, 1)
    retry_failed = check_switch("retry_failed", retry_failed)
    progress = check_switch("progress", progress)
    directory = folder_path("out", out).absolute()
    found = {cell.id: read_record(directory, cell.id) for cell in cells}
    waiting = check_waiting(cells, found, retry_failed)
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    checkpoints = checkpoints_path(directory)
    with locked(directory):
        for folder in (directory, directory / "cells"):
            remove_all_leftovers(folder)
        _remove_states_of_done_cells(directory, waiting)
        running = BACKENDS[backend](waiting, workers, checkpoints, environment)
        done = len(cells) - len(waiting)
        try:
            with StudyProgress(waiting, done, workers, show=progress) as shown:
                written = time.monotonic()
                for record in running:
                    if record["status"] == NO_ROOM:
                        raise WriteError(record["error"])
                    write_record(directory, record)
                    shutil.rmtree(checkpoints / record["id"], ignore_errors=True)
                    found[record["id"]] = record
                    shown.finished(record)
                    if time.monotonic() - written > _TABLE_SECONDS:
                        write_tables(directory)
                        written = time.monotonic()
        finally:
            running.close()  # type: ignore[attr-defined]  # stops workers, also on Ctrl-C
            rows = write_tables(directory)
        with suppress(OSError):
            checkpoints.rmdir()  # it may hold states of other grids
    n_failed = sum(record is not None and record["status"] == "failed" for record in found.values())
    return SweepResult(directory, rows, len(waiting), len(cells) - len(waiting), n_failed)


def check_waiting(
    cells: Sequence[Cell], records: Mapping[str, Mapping[str, Any] | None], retry_failed: bool
) -> list[Cell]:
    """Check the cells that a sweep would run now.

    Args:
        cells: The cells.
        records: Of every cell, by its id; None where it has not run.
        retry_failed: Whether cells that failed before run again.

    Returns:
        Those that would run.

    Raises:
        InputError: As :func:`~offline_prune.study.checks.check_cells`.
    """
    waiting = [
        cell
        for cell in cells
        if (record := records[cell.id]) is None or (retry_failed and record["status"] == "failed")
    ]
    check_cells(waiting)
    return waiting


def _remove_states_of_done_cells(directory: Path, waiting: Sequence[Cell]) -> None:
    """A process may have been killed between writing a record and removing the state."""
    to_do = {cell.id for cell in waiting}
    for state in checkpoints_path(directory).glob("*"):
        if state.name not in to_do and read_record(directory, state.name) is not None:
            shutil.rmtree(state, ignore_errors=True)
