"""A sparsity that an automatic choice looked at, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Candidate", "DataCandidate", "ReturnsCandidate", "in_percent"]


@dataclass(frozen=True)
class ReturnsCandidate:
    """A sparsity beside the dense agents of the same seeds, by their scores.

    Attributes:
        sparsity: Fraction of the weights removed, or role → fraction.
        accepted: Whether ``low ≥ retain``.
        scores: Score of the pruned agent of each seed.
        dense: Score of the dense agent of each seed.
        ratio: Ratio of the interquartile means, pruned over dense.
        low: Lower end of its interval over pairs of seeds
            (:func:`~offline_prune.evaluation.statistics.ratio_to_dense`).
        high: Upper end.
    """

    sparsity: float | Mapping[str, float]
    accepted: bool
    scores: tuple[float, ...]
    dense: tuple[float, ...]
    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        """One line."""
        verdict = "kept" if self.accepted else "not shown to be kept"
        found = f"{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"
        return f"{in_percent(self.sparsity)}: {found}, {verdict}"


@dataclass(frozen=True)
class DataCandidate:
    """A sparsity beside dense agents, by held-out episodes alone.

    Attributes:
        sparsity: Fraction of the weights removed, or role → fraction.
        accepted: Whether ``disagreement ≤ noise``, fitted values are possible ones, and
            ``low ≥ −(1 − retain)``.
        disagreement: Of the pruned policy with the dense one of its seed
            (:func:`~offline_prune.evaluation.off_policy.disagreement`).
        noise: Mean disagreement of dense policies of different seeds.
        difference: Fitted value of the pruned policy minus the dense one's, in units of
            the range of the behaviour's values
            (:func:`~offline_prune.evaluation.off_policy.paired_difference`); None where values
            diverged.
        low: Lower end of its interval over held-out episodes and fits.
        high: Upper end.
    """

    sparsity: float | Mapping[str, float]
    accepted: bool
    disagreement: float
    noise: float
    difference: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """One line."""
        verdict = "as close as another seed" if self.accepted else "not shown to be as close"
        if self.difference is None:
            worth = "fitted values diverged"
        else:
            worth = f"value {self.difference:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"
        apart = f"disagreement {self.disagreement:.3g} (dense seeds: {self.noise:.3g})"
        return f"{in_percent(self.sparsity)}: {apart}, {worth}, {verdict}"


Candidate: TypeAlias = ReturnsCandidate | DataCandidate


def in_percent(sparsity: float | Mapping[str, float]) -> str:
    """``95%``, or ``actor 95%, critic 80%``.

    Args:
        sparsity: A fraction, or role → fraction.

    Returns:
        It in words.
    """
    if isinstance(sparsity, Mapping):
        return ", ".join(f"{role} {100 * part:g}%" for role, part in sparsity.items())
    return f"{100 * sparsity:g}%"
