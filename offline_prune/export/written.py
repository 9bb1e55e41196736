"""What every export format has: how to write a file, and how to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy
from offline_prune.export.facts import Facts

__all__ = ["ExportFormat", "Runner", "Writing"]

Runner = Callable[[NDArray[Any]], NDArray[Any]]
"""(B, *observation shape) float32 → actions, (B, A) float32 or (B,) integers."""


@dataclass(frozen=True)
class Writing:
    """How a policy is to be written.

    Attributes:
        about: What it came from: label → words, for formats that have room for comments.
        dtype: Of the weights, one of those that the format has.
        calibration: (N, *observation shape) float32, for the ranges of integers; None where the
            dtype needs none.
        facts: What a caller wants to know; None leaves out what says it.
        name: A project's: of its files, and what its functions begin with.
    """

    about: Mapping[str, str]
    dtype: str = "float32"
    calibration: NDArray[Any] | None = None
    facts: Facts | None = None
    name: str = "policy"


@dataclass(frozen=True)
class ExportFormat:
    """A file format, or a folder of files.

    Attributes:
        title: What it is called.
        write: Writes a policy to a path; an empty folder is there where it is one.
        open: Runners of what was written, all of which must agree with the algorithm;
            none where it cannot be run here.
        dtypes: Types that weights may have.
        check: Raises an error if the format cannot be written here at all.
        is_folder: Whether the path is that of a folder.
    """

    title: str
    write: Callable[[ActingPolicy, Path, Writing], None]
    open: Callable[[Path, ActingPolicy], tuple[Runner, ...]]
    dtypes: tuple[str, ...] = ("float32",)
    check: Callable[[], None] = lambda: None
    is_folder: bool = False
