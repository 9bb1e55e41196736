"""Cells side by side on a Ray cluster, or on a Ray of this machine."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from offline_prune.errors import InputError
from offline_prune.study.cell import Cell
from offline_prune.study.run import NO_ROOM, failure, perform

__all__ = ["run_on_ray"]


def run_on_ray(
    cells: Sequence[Cell],
    workers: int,
    checkpoints: Path,
    environment: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """Run cells on Ray, one CPU each.

    A Ray that this process is connected to is used as it is; else the one that
    ``RAY_ADDRESS`` names; else one is started here and stopped at the end. Records come
    back to this process, so that other machines need the package and the datasets, and
    share no folder; unfinished runs resume where they see the folder of checkpoints, and
    finished ones remove their state there themselves.

    Args:
        cells: The cells.
        workers: The most cells at once.
        checkpoints: Folder of the states of unfinished runs.
        environment: Variables for the workers.

    Yields:
        Records, as cells finish.

    Raises:
        InputError: If Ray is missing.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError(
            'backend="ray" needs Ray: pip install "offline-prune[ray]", or take backend="local".'
        ) from error
    started = not ray.is_initialized()
    if started:
        here = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers}
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **here)
    task = ray.remote(num_cpus=1, max_retries=0)(_perform)
    waiting = list(cells)[::-1]
    running: dict[Any, Cell] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                cell = waiting.pop()
                running[task.remote(cell, checkpoints, dict(environment))] = cell
            ready, _ = ray.wait(list(running), num_returns=1)
            for reference in ready:
                cell = running.pop(reference)
                try:
                    record = ray.get(reference)
                except ray.exceptions.RayError as error:  # the worker or its machine died
                    record = failure(cell, f"{type(error).__name__}: {error}")
                yield record
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if started:
            ray.shutdown()


def _perform(cell: Cell, checkpoints: Path, environment: dict[str, str]) -> dict[str, Any]:
    record = perform(cell, checkpoints, environment)
    if record["status"] != NO_ROOM:
        shutil.rmtree(checkpoints / cell.id, ignore_errors=True)  # may be another machine's
    return record
