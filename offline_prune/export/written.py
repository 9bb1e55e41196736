"""What every export format has: how to write a file, and how to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy

__all__ = ["ExportFormat", "Runner"]

Runner = Callable[[NDArray[Any]], NDArray[Any]]
"""(B, *observation shape) float32 → actions, (B, A) float32 or (B,) integers."""


@dataclass(frozen=True)
class ExportFormat:
    """A file format.

    Attributes:
        title: What it is called.
        write: Writes a policy to a path; the mapping says what it came from (label →
            words), for formats that have room for comments.
        open: Runners of a written file, all of which must agree with the algorithm;
            none where it cannot be run here.
        write_as: The same with weights as the dtype that is named,
            calibrated on observations; None where there are float32 alone.
        check: Raises an error if the format cannot be written here at all.
    """

    title: str
    write: Callable[[ActingPolicy, Path, Mapping[str, str]], None]
    open: Callable[[Path, ActingPolicy], tuple[Runner, ...]]
    write_as: Callable[[ActingPolicy, Path, Mapping[str, str], str, NDArray[Any]], None] | None = (
        None
    )
    check: Callable[[], None] = lambda: None
