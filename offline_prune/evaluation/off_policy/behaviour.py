"""What is the policy worth that collected the data?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_prune.data import Dataset
from offline_prune.evaluation.off_policy.returns import check_gamma, returns_to_go

__all__ = ["BehaviourValue", "behaviour_value"]


@dataclass(frozen=True)
class BehaviourValue:
    """Discounted returns of recorded episodes, in the data's unit.

    Attributes:
        value: Their mean: the value of the behaviour over its initial states.
        values: Of each episode.
        gamma: Discount.
        missing: Weight of what may be missing, the mean over episodes of γ^T where an
            episode of T steps was cut off and 0 where it ended: the part of a constant
            reward's value that lies beyond the cuts. Fitted values contain it.

    Examples:
        >>> from offline_prune.evaluation.off_policy import BehaviourValue
        >>> value = BehaviourValue(value=2.0, values=(1.0, 3.0), gamma=0.99, missing=0.0)
        >>> value.worst, value.best
        (1.0, 3.0)
    """

    value: float
    values: tuple[float, ...]
    gamma: float
    missing: float

    @property
    def worst(self) -> float:
        """The lowest return of an episode."""
        return min(self.values)

    @property
    def best(self) -> float:
        """The highest return of an episode."""
        return max(self.values)

    @property
    def range(self) -> float:
        """``best − worst``, the unit of differences between policies; 0 where all are alike."""
        return self.best - self.worst


def behaviour_value(held_out: Dataset, gamma: float) -> BehaviourValue:
    """The mean discounted return of recorded episodes (Monte Carlo).

    Formula: the mean over episodes of ``Σ_t γ^t r_t``.

    Args:
        held_out: The episodes.
        gamma: γ, the discount of the values that this one stands beside.

    Returns:
        The value and its parts.

    Raises:
        InputError: If gamma is not in [0, 1].

    References:
        Sutton, Barto 2018, Reinforcement learning, section 5.1.

    Examples:
        >>> from offline_prune import load_dataset
        >>> from offline_prune.evaluation.off_policy import behaviour_value
        >>> rows = {"observations": [[0.0], [1.0]], "actions": [[0.0], [0.0]]}
        >>> data = load_dataset({**rows, "rewards": [1.0, 2.0], "terminals": [False, True]})
        >>> behaviour_value(data, gamma=0.5).value  # 1 + .5 · 2
        2.0
    """
    gamma = check_gamma(gamma)
    lengths = np.diff(held_out.ends, prepend=0)
    values = returns_to_go(held_out, gamma)[held_out.starts]
    cut = held_out.terminals[held_out.ends - 1] == 0
    return BehaviourValue(
        value=float(values.mean()),
        values=tuple(values.tolist()),
        gamma=gamma,
        missing=float((cut * gamma**lengths).mean()),
    )
