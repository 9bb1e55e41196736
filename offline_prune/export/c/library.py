"""Compile an exported C policy and call it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy
from offline_prune.errors import ExportError
from offline_prune.export.written import Runner

__all__ = ["c_compiler", "open_c"]

_FLAGS = ("-std=c99", "-O2", "-shared", "-fPIC")


def c_compiler() -> str | None:
    """Path of a C compiler: cc, gcc or clang; None where there is none."""
    return next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)


def open_c(
    path: Path, policy: ActingPolicy, name: str = "policy", *, checks_itself: bool = True
) -> tuple[Runner, ...]:
    """Compile a written policy in a temporary folder and load it.

    Args:
        path: The C file.
        policy: What it was written from.
        name: What its functions begin with.
        checks_itself: Whether its self-test has to pass, where it has one.

    Returns:
        ``policy_act`` row by row, and ``policy_act_batch``; nothing without a compiler.

    Raises:
        ExportError: If it does not compile, or its self-test fails.
    """
    compiler = c_compiler()
    if compiler is None:
        return ()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "policy.so"
        done = subprocess.run(
            [compiler, *_FLAGS, "-o", library, "-x", "c", path, "-lm"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ExportError(
                f"{compiler} does not compile the written policy; nothing was left on disk."
                f" It says: {done.stderr[-2000:]}"
            )
        loaded = ctypes.CDLL(str(library))
    type_: Any = ctypes.c_int if policy.discrete else ctypes.c_float
    actions = ctypes.POINTER(type_)
    floats = ctypes.POINTER(ctypes.c_float)
    act, act_batch = loaded[f"{name}_act"], loaded[f"{name}_act_batch"]
    if checks_itself and (wrong := getattr(loaded, f"{name}_self_test", int)()):
        raise ExportError(
            f"The written policy's {name}_self_test returns {wrong}; 0 was expected. Nothing was"
            " left on disk."
        )
    act.argtypes = [floats] if policy.discrete else [floats, actions]
    act.restype = ctypes.c_int if policy.discrete else None
    act_batch.argtypes = [ctypes.c_int, floats, actions]
    act_batch.restype = None

    def empty(n: int) -> NDArray[Any]:
        shape = (n,) if policy.discrete else (n, policy.action_size)
        return np.full(shape, -1 if policy.discrete else np.nan, dtype=type_)

    def one_by_one(observations: NDArray[Any]) -> NDArray[Any]:
        found = empty(len(observations))
        for i, row in enumerate(np.ascontiguousarray(observations, dtype=np.float32)):
            if policy.discrete:
                found[i] = act(row.ctypes.data_as(floats))
            else:
                act(row.ctypes.data_as(floats), found[i].ctypes.data_as(actions))
        return found

    def batch(observations: NDArray[Any]) -> NDArray[Any]:
        rows = np.ascontiguousarray(observations, dtype=np.float32)
        found = empty(len(rows))
        act_batch(len(rows), rows.ctypes.data_as(floats), found.ctypes.data_as(actions))
        return found

    return (one_by_one, batch)
