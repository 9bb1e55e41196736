"""What every runtime is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy
from offline_prune.export import acting_policy
from offline_prune.export.onnx.onnx_format import onnx_model
from offline_prune.export.written import Writing

__all__ = ["CSource", "Run", "Runtime", "Subject"]

Run = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Observations, 1 or 256 of them → actions."""


@dataclass(frozen=True)
class Subject:
    """An agent as runtimes take it.

    Attributes:
        algo: The d3rlpy algorithm, its dead weights zero.
        observations: (N, *observation shape) float32, of which integers are calibrated on all,
            and the first 256 are decided on.
    """

    algo: Any
    observations: NDArray[np.float32]

    @cached_property
    def policy(self) -> ActingPolicy:
        """The live layers, as a module."""
        return acting_policy(self.algo)

    @property
    def rows(self) -> NDArray[np.float32]:
        """What is decided on."""
        return self.observations[:256]

    def onnx(self, dtype: str, folder: Path) -> Path:
        """The live layers as an ONNX file, zeros included."""
        path = folder / f"{dtype}.onnx"
        model = onnx_model(self.policy, Writing({}, dtype, self.observations))
        path.write_bytes(model.SerializeToString())
        return path


@dataclass(frozen=True)
class Runtime:
    """A runtime that is called from Python.

    Attributes:
        title: Its name.
        package: What has to be installed.
        dtypes: What it computes with.
        write: Writes a policy into a folder; the files that are deployed.
        open: Loads them; runs of 1 and of 256 observations.
    """

    title: str
    package: str
    dtypes: tuple[str, ...]
    write: Callable[[Subject, str, Path], list[Path]]
    open: Callable[[list[Path]], Run]


@dataclass(frozen=True)
class CSource:
    """A generator of C.

    Attributes:
        title: Its name.
        package: What has to be installed.
        dtypes: What it computes with.
        write: Writes ``policy.c`` into a folder, with the functions that this package's have.
    """

    title: str
    package: str
    dtypes: tuple[str, ...]
    write: Callable[[Subject, str, Path], None]
