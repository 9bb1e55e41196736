"""export_policy: the acting policy as a file that runs without this package."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from d3rlpy.algos import QLearningAlgoBase, TransformerAlgoBase
from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy, acting_policy
from offline_prune.base.atomic import written_aside
from offline_prune.data import load_dataset
from offline_prune.errors import AlgorithmError, InputError, UnknownNameError
from offline_prune.export.agreement import check_agreement
from offline_prune.export.c.c99 import C99
from offline_prune.export.onnx.onnx_format import ONNX
from offline_prune.export.torchscript import TORCHSCRIPT
from offline_prune.export.written import ExportFormat

__all__ = ["FORMATS", "ExportedPolicy", "UncheckedExportWarning", "export_policy"]

FORMATS: Mapping[str, ExportFormat] = {".onnx": ONNX, ".pt": TORCHSCRIPT, ".c": C99}
"""File suffix → format."""

_OBSERVATIONS = 256  # for the check, evenly spaced over those that are given


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

    def __str__(self) -> str:
        """One line: what was written, and on what it was checked."""
        text = (
            f"{self.format} policy of {self.n_exported:,} weights"
            f" ({self.n_weights:,} before, {self.n_nonzero:,} not zero) in {self.path}"
        )
        if self.first_action:
            text += f"; its actions count from 0: add {self.first_action} for the environment's"
        if not self.n_checked:
            return f"{text}; not checked: no C compiler here"
        differ = "" if self.largest_difference is None else f", {self.largest_difference:.1e} apart"
        return f"{text}; agrees with algo.predict on {self.n_checked} observations{differ}"


def export_policy(
    algo: Any,
    path: str | Path,
    observations: NDArray[Any] | None = None,
    *,
    dataset: str | None = None,
    frame_stack: int = 1,
) -> ExportedPolicy:
    """Write what ``algo.predict`` computes as a file of its own, checked, whole or not at all.

    Dead units leave first (:func:`~offline_prune.export.acting_policy`): exact zeros among
    the weights count as pruned, wherever they come from. The written file is run on the
    observations and compared with ``algo.predict``, to 10⁻⁵ of the largest action, or
    action for action but for ties.

    Args:
        algo: A built d3rlpy algorithm; it stays as it is. One that a compact engine
            holds is detached first.
        path: Ends in ``.onnx``, ``.pt`` (TorchScript) or ``.c`` (C99). An existing file
            is replaced.
        observations: (N, *observation shape), as the environment gives them; up to 256
            of them, evenly spaced, are compared; None takes those of the dataset.
        dataset: Id of the dataset; the file's comment names it.
        frame_stack: Frames that an observation is stacked of
            (:meth:`~offline_prune.data.Dataset.with_frame_stack`); the file reads stacks,
            which whoever calls it makes, and its comment says so.

    Returns:
        What was written.

    Raises:
        UnknownNameError: If there is no format of the path's suffix.
        AlgorithmError: If the algorithm is not built or not one this package knows.
        InputError: If the observations do not fit, or there are none.
        UnsupportedExportError: If the policy samples (BCQ) or remembers (transformers), a
            package is missing, or the format has no form of one of its layers.
        ExportError: If the written file computes something else; nothing is left.
    """
    if not isinstance(algo, QLearningAlgoBase | TransformerAlgoBase):
        raise AlgorithmError(f"algo is a built d3rlpy algorithm, not {type(algo).__name__}.")
    if not isinstance(path, str | Path):
        raise InputError(f"path is that of the file to write, not {type(path).__name__}.")
    path = Path(path)
    if path.suffix not in FORMATS:
        raise UnknownNameError("export format", path.suffix, FORMATS)
    chosen = FORMATS[path.suffix]
    chosen.check()
    policy = acting_policy(algo)
    first_action = 0
    if observations is None:
        if dataset is None:
            raise InputError(
                "The dataset has no id, so it cannot be loaded again. Pass observations=, some"
                " of its observations: the written file is compared with the agent on them."
            )
        data = load_dataset(dataset).with_frame_stack(frame_stack)
        observations, first_action = data.observations, data.metadata.action_start
    sample = _sample(np.asarray(observations), policy)
    expected = algo.predict(sample)
    if not np.isfinite(expected).all():
        raise InputError(
            "algo.predict returns NaN or infinite actions for some of the observations:"
            " there is nothing to export."
        )
    with written_aside(path) as aside:
        chosen.write(policy, aside, _about(algo, policy, dataset, first_action, frame_stack))
        runs = chosen.open(aside, policy)
        agreements = [check_agreement(run, expected, policy, sample) for run in runs]
    differences = [] if policy.discrete else [a.largest_difference for a in agreements]
    if not agreements:
        warnings.warn(
            f"{path} was written but not run: there is no C compiler (cc, gcc, clang) on"
            " PATH. Compile it where it is to be used and compare a few actions.",
            UncheckedExportWarning,
            stacklevel=2,
        )
    return ExportedPolicy(
        path=path,
        format=chosen.title,
        n_weights=policy.n_weights,
        n_nonzero=policy.n_nonzero,
        n_exported=sum(p.numel() for p in policy.parameters() if p.dim() > 1),
        n_checked=len(sample) if agreements else 0,
        largest_difference=max(differences, default=None),
        n_ties=max((a.n_ties for a in agreements), default=0),
        first_action=first_action,
    )


def _sample(observations: NDArray[Any], policy: ActingPolicy) -> NDArray[Any]:
    if observations.dtype.kind not in "biuf":
        raise InputError(f"observations are {observations.dtype}, expected numbers.")
    if not len(observations.shape) or observations.shape[1:] != policy.observation_shape:
        raise InputError(
            f"observations have the shape {observations.shape}; (N,"
            f" {', '.join(map(str, policy.observation_shape))}) was expected."
        )
    if not len(observations):
        raise InputError("observations are empty: the written file is compared on them.")
    rows = np.linspace(0, len(observations) - 1, min(len(observations), _OBSERVATIONS))
    return np.ascontiguousarray(observations[rows.round().astype(np.int64)], dtype=np.float32)


def _about(
    algo: Any, policy: ActingPolicy, dataset: str | None, first_action: int, frame_stack: int
) -> dict[str, str]:
    stacked = f"stacks of {frame_stack} frames, newest last, zeros before an episode's first"
    counted = f"counted from 0; the environment's are {first_action} more"
    return {
        "algorithm": type(algo).__name__,
        "dataset": dataset or "not named",
        "sparsity": f"{policy.sparsity:.2%} of the {policy.n_weights} weights of the acting"
        f" networks are zero, {policy.n_nonzero} are not",
        **({"observations": stacked} if frame_stack > 1 else {}),
        **({"actions": counted} if first_action else {}),
    }
