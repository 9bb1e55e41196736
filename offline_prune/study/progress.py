"""Live progress of a study: cells done, running, failed, time left."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from offline_prune.study.cell import Cell

__all__ = ["StudyProgress"]


class StudyProgress:
    """Counts cells as they finish, as a context manager.

    A live line on a terminal or in a notebook; elsewhere one line a finished cell, so
    that a log file tells how far it is.
    """

    def __init__(
        self, cells: Sequence[Cell], done: int, workers: int, *, show: bool = True
    ) -> None:
        """Prepare.

        Args:
            cells: What is to be run.
            done: Cells that were done before.
            workers: Runs side by side.
            show: False for silence.
        """
        self._waiting = {cell.id: cell.algo for cell in cells}
        self._done, self._total = done, done + len(cells)
        self._workers, self._failed = workers, 0
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._console = Console(stderr=True)
        self._show = show
        self._live = show and self._console.is_terminal
        self._progress = Progress(
            TextColumn("Cells"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=self._console,
            disable=not self._live,
            transient=True,
        )
        self._task = self._progress.add_task(
            "", total=self._total, completed=done, state=self.state()
        )
        self._begun = time.monotonic()

    def __enter__(self) -> StudyProgress:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Take the line away."""
        self._progress.stop()

    def finished(self, record: Mapping[str, Any]) -> None:
        """Count a cell.

        Args:
            record: Its record.
        """
        algo = self._waiting.pop(record["id"])
        self._seconds[algo].append(record["timing"]["seconds"])
        self._done += 1
        self._failed += record["status"] != "ok"
        self._progress.update(self._task, completed=self._done, state=self.state())
        if self._show and not self._live:
            cell = Cell(**record["cell"])
            outcome = _outcome(record)
            self._console.print(
                f"{self._done}/{self._total} {cell}: {outcome}; {self.state()}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def state(self) -> str:
        """Running, failed, time left, in words."""
        running = min(self._workers, len(self._waiting))
        words = [f"{running} running", f"{self._failed} failed"]
        left = self.seconds_left()
        if left is not None:
            words.append(f"{timedelta(seconds=round(left))} left")
        return ", ".join(words)

    def seconds_left(self) -> float | None:
        """Seconds that the rest will take, if cells go on as those of their algorithm did.

        Returns:
            The seconds; None before the first cell is done.
        """
        every = [seconds for found in self._seconds.values() for seconds in found]
        if not every:
            return None
        mean = {algo: sum(found) / len(found) for algo, found in self._seconds.items()}
        overall = sum(every) / len(every)
        work = sum(mean.get(algo, overall) for algo in self._waiting.values())
        return work / max(1, min(self._workers, len(self._waiting)))


def _outcome(record: Mapping[str, Any]) -> str:
    if record["status"] != "ok":
        return str(record["error"])
    found = record["result"]["mean_return"]
    return "not evaluated" if found is None else f"return {found:.1f}"
