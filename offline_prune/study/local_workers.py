"""Cells side by side on this machine, through loky."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from pathlib import Path
from typing import Any

from offline_prune.errors import InputError
from offline_prune.study.cell import Cell
from offline_prune.study.run import failure, perform

__all__ = ["run_locally"]

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
_KILLED = "The process of this cell was killed twice, perhaps for its memory."


def run_locally(
    cells: Sequence[Cell],
    workers: int,
    checkpoints: Path,
    environment: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """Run cells; one worker is this process itself.

    Where a worker is killed, each cell that was running then runs once more, alone: the one
    that kills its process again is recorded as failed.

    Args:
        cells: The cells.
        workers: Processes side by side, one thread each.
        checkpoints: Folder of the states of unfinished runs.
        environment: Variables for the workers.

    Yields:
        Records, as cells finish.

    Raises:
        InputError: If loky is missing.
    """
    if workers == 1:
        for cell in cells:
            yield perform(cell, checkpoints, environment)
        return
    try:
        import loky
    except ImportError as error:
        raise InputError(
            'Several workers need loky: pip install "offline-prune[sweep]", or take workers=1.'
        ) from error

    def run(some: deque[Cell], running: dict[Any, Cell]) -> Iterator[dict[str, Any]]:
        pool = loky.ProcessPoolExecutor(min(workers, len(some)), env=_ONE_THREAD)
        try:
            while some or running:
                while some and len(running) < workers:
                    cell = some.popleft()
                    arguments = (cell, checkpoints, dict(environment), os.getpid())
                    running[pool.submit(_perform, *arguments)] = cell
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    record = future.result()
                    del running[future]
                    yield record
        finally:
            with _manager_dies_in_silence():
                pool.shutdown(wait=True, kill_workers=bool(running))  # on Ctrl-C at once

    waiting = deque(cells)
    while waiting:
        running: dict[Any, Cell] = {}
        try:
            yield from run(waiting, running)
        except BrokenExecutor:
            for cell in running.values():
                try:
                    yield from run(deque([cell]), {})
                except BrokenExecutor:
                    yield failure(cell, _KILLED)


@contextlib.contextmanager
def _manager_dies_in_silence() -> Iterator[None]:
    """Keep loky's own thread from printing what it stumbles over while its workers are killed."""
    before = threading.excepthook

    def report(arguments: threading.ExceptHookArgs) -> None:
        if type(arguments.thread).__module__.partition(".")[0] != "loky":
            before(arguments)

    threading.excepthook = report
    try:
        yield
    finally:
        threading.excepthook = before


def _perform(
    cell: Cell, checkpoints: Path, environment: dict[str, str], parent: int
) -> dict[str, Any]:
    """Run a cell in a worker; the process that started it answers to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_the_sweep() -> None:
        if os.getppid() != parent:  # it was killed: nobody waits for this cell
            os._exit(1)

    return perform(cell, checkpoints, environment, end_with_the_sweep)
