"""TorchScript: a file that ``torch.jit.load`` opens without this package."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy
from offline_prune.export.written import ExportFormat, Runner, Writing

__all__ = ["TORCHSCRIPT"]


def _write(policy: ActingPolicy, path: Path, _: Writing) -> None:
    example = torch.zeros(2, *policy.observation_shape)
    with warnings.catch_warnings(), torch.no_grad():
        # torch advises torch.export, whose files need the same torch to open.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(policy, (example,), check_trace=False)
        content = io.BytesIO()  # given a path, torch ends the process on a full disk
        torch.jit.save(traced, content)
    path.write_bytes(content.getvalue())


def _open(path: Path, policy: ActingPolicy) -> tuple[Runner, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded = torch.jit.load(str(path))

    def run(observations: NDArray[Any]) -> NDArray[Any]:
        with torch.no_grad():
            found: NDArray[Any] = loaded(torch.from_numpy(observations)).numpy()
        return found

    return (run,)


TORCHSCRIPT = ExportFormat("TorchScript", _write, _open)
