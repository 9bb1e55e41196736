"""Progress of long work: a bar with rate and time left, or silence."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["ProgressBar"]

_REDRAW_SECONDS = 0.1  # updating the bar at every gradient step would cost more than it


class _Rate(ProgressColumn):
    """Units a second since the start."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:.1f} {self._unit}/s", style="cyan")


class ProgressBar:
    """A progress bar that costs next to nothing, as a context manager.

    Draws to the terminal or notebook; shows nothing where output is not interactive.
    """

    def __init__(self, description: str, total: int, unit: str, *, show: bool = True) -> None:
        """Prepare the bar.

        Args:
            description: What is going on.
            total: Units of work.
            unit: Their name in the plural.
            show: False for silence.
        """
        self._pending = 0
        self._drawn = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(unit),
            TimeRemainingColumn(),
            disable=not show,
            transient=True,
        )
        self._task = self._progress.add_task(description, total=total)

    def __enter__(self) -> ProgressBar:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._progress.stop()

    def advance(self, units: int = 1) -> None:
        """Count finished units.

        Args:
            units: How many.
        """
        self._pending += units
        now = time.monotonic()
        if now - self._drawn >= _REDRAW_SECONDS:
            self._progress.advance(self._task, self._pending)
            self._pending, self._drawn = 0, now
