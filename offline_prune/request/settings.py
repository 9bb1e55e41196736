"""What a run came to: what was asked for and what was chosen, as its result keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offline_prune.request.options import RunOptions

__all__ = ["RunSettings"]


@dataclass(frozen=True, kw_only=True)
class RunSettings(RunOptions):
    """Enough to run it again: every option as it was asked for or chosen.

    A new option has a default, so that old results go on being read.

    Attributes:
        dataset: Id of the dataset; None where it had none.
        algo: Name of the algorithm.
        sparsity: Role → fraction of that network's prunable weights removed.
        method: Name of the pruning method.
        seed: Of everything random.
        versions: Package → version.
        frame_stack: Frames that the dataset's observations are stacked of.
        transition_steps: Steps of the dataset's transitions.
    """

    dataset: str | None
    algo: str
    sparsity: Mapping[str, float]
    method: str
    seed: int
    versions: Mapping[str, str]
    n_batches: int
    n_steps: int
    batch_size: int
    # What runs were before there were these.
    parameterization: str = "standard"
    averaging: str = "none"
    frame_stack: int = 1
    transition_steps: int = 1
