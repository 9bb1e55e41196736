"""A policy written in one of the formats, run, and compared with the agent it came from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy
from offline_prune.base.atomic import written_aside
from offline_prune.errors import InputError, UnknownNameError, UnsupportedExportError
from offline_prune.export.agreement import TOLERANCES, check_agreement
from offline_prune.export.c.c99 import C99
from offline_prune.export.onnx.onnx_format import ONNX
from offline_prune.export.source import Source
from offline_prune.export.torchscript import TORCHSCRIPT
from offline_prune.export.written import ExportFormat

__all__ = ["FORMATS", "ExportedPolicy", "UncheckedExportWarning", "format_of", "write_checked"]

FORMATS: Mapping[str, ExportFormat] = {".onnx": ONNX, ".pt": TORCHSCRIPT, ".c": C99}
"""File suffix → format."""

_OBSERVATIONS = 256  # for the check, evenly spaced over those that are given
_CALIBRATION = 4096  # the same, for the ranges of integers


class UncheckedExportWarning(UserWarning):
    """A file was written that cannot be run here."""


@dataclass(frozen=True)
class ExportedPolicy:
    """A written policy.

    Attributes:
        path: The file.
        format: ``"ONNX"``, ``"TorchScript"`` or ``"C99"``.
        n_weights: Weights of the acting networks before any unit left.
        n_nonzero: Weights among them that are not zero.
        n_exported: Weights in the layers of the file, zeros included where a layer is
            stored dense.
        n_checked: Observations on which the file was run and agreed with the algorithm;
            0 where it could not be run here (C without a compiler).
        largest_difference: Of continuous actions, over these; None for discrete ones and
            where not checked.
        n_ties: Discrete actions that differ where two score the same up to rounding.
        first_action: What the environment adds to a discrete action of the file, which counts
            from 0 as ``algo.predict`` does; 0 where the dataset was not loaded for the check.
        reference: What the file was compared with, ``"algo.predict"`` or ``"model.predict"``.
        dtype: Of the weights: ``"float32"``, ``"float16"`` or ``"int8"``.
        mean_difference: As ``largest_difference``.
    """

    path: Path
    format: str
    n_weights: int
    n_nonzero: int
    n_exported: int
    n_checked: int
    largest_difference: float | None
    n_ties: int
    first_action: int = 0
    reference: str = "algo.predict"
    dtype: str = "float32"
    mean_difference: float | None = None

    def __str__(self) -> str:
        """One line: what was written, and on what it was checked."""
        text = (
            f"{self.format} policy of {self.n_exported:,} {self._numbers}weights"
            f" ({self.n_weights:,} before, {self.n_nonzero:,} not zero) in {self.path}"
        )
        if self.first_action:
            text += f"; its actions count from 0: add {self.first_action} for the environment's"
        if not self.n_checked:
            return f"{text}; not checked: no C compiler here"
        on = f"{self.reference} on {self.n_checked} observations"
        if self.dtype == "float32":
            differ = self.largest_difference
            return f"{text}; agrees with {on}{'' if differ is None else f', {differ:.1e} apart'}"
        if self.largest_difference is None:
            return f"{text}; takes another action than {on} {self.n_ties} times"
        largest, mean = self.largest_difference, self.mean_difference
        return f"{text}; apart from {on} by {largest:.2g} at most, {mean:.2g} in the mean"

    @property
    def _numbers(self) -> str:
        return "" if self.dtype == "float32" else f"{self.dtype} "


def format_of(path: Path, dtype: str = "float32") -> ExportFormat:
    """The format of a path's suffix, if it can be written here with such weights.

    Raises:
        UnknownNameError: If there is none of it, or no such type.
        UnsupportedExportError: If a package is missing, or the format has float32 alone.
    """
    if path.suffix not in FORMATS:
        raise UnknownNameError("export format", path.suffix, FORMATS)
    if not isinstance(dtype, str):
        raise InputError(f"dtype is one of {', '.join(TOLERANCES)}, not {type(dtype).__name__}.")
    if dtype not in TOLERANCES:
        raise UnknownNameError("dtype", dtype, TOLERANCES)
    chosen = FORMATS[path.suffix]
    chosen.check()
    if dtype != "float32" and chosen.write_as is None:
        raise UnsupportedExportError(
            f"{chosen.title} is written with weights of float32 alone, not {dtype}. Export to .c."
        )
    return chosen


def write_checked(
    source: Source, path: Path, observations: NDArray[Any], dtype: str = "float32"
) -> ExportedPolicy:
    """Write a policy as a file, run it and compare: whole and right, or not at all.

    Args:
        source: The policy, and what its file has to agree with.
        path: As :func:`format_of` takes it.
        observations: (N, *observation shape), as the file reads them; up to 256 of them, evenly
            spaced, are compared; integers are calibrated on up to 4,096 of them.
        dtype: Of the weights.

    Returns:
        What was written.

    Raises:
        InputError: If the observations do not fit, there are none, or the agent's own actions
            are not finite.
        UnsupportedExportError: If the format has no form of one of the policy's layers.
        ExportError: If the written file computes something else; nothing is left.
    """
    chosen, policy = format_of(path, dtype), source.policy
    observations = np.asarray(observations)
    sample = _sample(observations, policy, _OBSERVATIONS)
    expected = source.predict(sample)
    if not np.isfinite(expected).all():
        raise InputError(
            f"{source.reference} returns NaN or infinite actions for some of the observations:"
            " there is nothing to export."
        )
    with written_aside(path) as aside:
        if dtype == "float32" or chosen.write_as is None:
            chosen.write(policy, aside, source.about)
        else:
            calibration = _sample(observations, policy, _CALIBRATION)
            chosen.write_as(policy, aside, source.about, dtype, calibration)
        runs = chosen.open(aside, policy)
        agreements = [check_agreement(run, expected, source, sample, dtype) for run in runs]
    continuous = [] if policy.discrete else agreements
    if not agreements:
        warnings.warn(
            f"{path} was written but not run: there is no C compiler (cc, gcc, clang) on"
            " PATH. Compile it where it is to be used and compare a few actions.",
            UncheckedExportWarning,
            stacklevel=3,
        )
    return ExportedPolicy(
        path=path,
        format=chosen.title,
        n_weights=policy.n_weights,
        n_nonzero=policy.n_nonzero,
        n_exported=sum(p.numel() for p in policy.parameters() if p.dim() > 1),
        n_checked=len(sample) if agreements else 0,
        largest_difference=max((a.largest_difference for a in continuous), default=None),
        n_ties=max((a.n_ties for a in agreements), default=0),
        first_action=source.first_action,
        reference=source.reference,
        dtype=dtype,
        mean_difference=max((a.mean_difference for a in continuous), default=None),
    )


def _sample(observations: NDArray[Any], policy: ActingPolicy, most: int) -> NDArray[Any]:
    """Up to so many of them, evenly spaced, as float32."""
    if observations.dtype.kind not in "biuf":
        raise InputError(f"observations are {observations.dtype}, expected numbers.")
    if not len(observations.shape) or observations.shape[1:] != policy.observation_shape:
        raise InputError(
            f"observations have the shape {observations.shape}; (N,"
            f" {', '.join(map(str, policy.observation_shape))}) was expected."
        )
    if not len(observations):
        raise InputError("observations are empty: the written file is compared on them.")
    rows = np.linspace(0, len(observations) - 1, min(len(observations), most))
    return np.ascontiguousarray(observations[rows.round().astype(np.int64)], dtype=np.float32)
