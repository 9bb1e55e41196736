"""What a run was asked for, as its result keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["RunSettings"]


@dataclass(frozen=True)
class RunSettings:
    """What was asked for; enough to run it again.

    Attributes:
        dataset: Id of the dataset; None where it had none.
        algo: Name of the algorithm.
        sparsity: Role → fraction of that network's prunable weights removed.
        method: Name of the pruning method.
        allocation: How the kept weights were allocated.
        n_batches: Scoring mini-batches of 256 transitions.
        share_critics: Whether all critics shared one threshold.
        n_steps: Gradient steps.
        batch_size: Transitions a gradient step.
        seed: Of everything random.
        engine: What held the zeros.
        device: Where it ran.
        versions: Package → version.
        average: What was averaged over the scoring mini-batches.
        float64: Whether scores were taken in double precision.
        refill: Whether weights that lead nowhere made room for others.
        rescale: Whether kept weights were scaled for the fan-in that was left.
        feature_steps: Auxiliary steps of an OFENet before scoring.
        parameterization: How initial weights and steps followed from the weights kept.
        averaging: Which weights of the acting networks were averaged.
    """

    dataset: str | None
    algo: str
    sparsity: Mapping[str, float]
    method: str
    allocation: str
    n_batches: int
    share_critics: bool
    n_steps: int
    batch_size: int
    seed: int
    engine: str
    device: str
    versions: Mapping[str, str]
    average: str = "gradients"
    float64: bool = False
    refill: bool = False
    rescale: bool = False
    feature_steps: int = 0
    parameterization: str = "standard"
    averaging: str = "none"
