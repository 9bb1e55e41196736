"""What is a policy worth, by recorded episodes weighed as it would have had them?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from offline_prune.base.arguments import finite_number
from offline_prune.data import Dataset
from offline_prune.errors import InputError
from offline_prune.evaluation.off_policy.behaviour import behaviour_value
from offline_prune.evaluation.off_policy.propensities import (
    check_propensities,
    epsilon_greedy_probabilities,
)
from offline_prune.evaluation.off_policy.returns import check_gamma

__all__ = ["WeightedImportance", "weighted_importance_sampling"]


@dataclass(frozen=True)
class WeightedImportance:
    """The value of a policy by weighted importance sampling, in the data's unit, discounted.

    Attributes:
        value: Mean of the episodes' returns under their weights; None where none has any.
        weights: Of each episode, adding up to 1; all 0 where none has any.
        effective_episodes: ``(Σ w)² / Σ w²``, of as many evenly weighed episodes.
        least_effective: Below how many of these the value counts as worthless.
        epsilon: ε of the policy that was weighed for.
        gamma: Discount.

    Examples:
        >>> import numpy as np
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import (
        ...     split_episodes,
        ...     weighted_importance_sampling,
        ... )
        >>> data = load_dataset("cartpole/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "discrete_bc", sparsity=0.5, algo_params=small)
        >>> b = np.full(held_out.metadata.steps, 0.5)  # whoever recorded it tossed a coin
        >>> weighed = weighted_importance_sampling(
        ...     agent.algo, held_out, b, gamma=0.99, epsilon=0.1
        ... )
        >>> weighed.is_worthless == (weighed.effective_episodes < weighed.least_effective)
        True
    """

    value: float | None
    weights: tuple[float, ...]
    effective_episodes: float
    least_effective: float
    epsilon: float
    gamma: float

    @property
    def is_worthless(self) -> bool:
        """Whether too few episodes carry the weight: one or two of them are the value."""
        return self.effective_episodes < self.least_effective


def weighted_importance_sampling(
    algo: Any,
    held_out: Dataset,
    propensities: ArrayLike,
    *,
    gamma: float,
    epsilon: float,
    clip: float | None = None,
    least_effective: float = 10.0,
) -> WeightedImportance:
    """Weigh recorded episodes by how much likelier the policy makes their actions.

    Formulas: ``w_i = Π_t π(a_t | s_t) / b(a_t | s_t)``, at most ``clip``; the value is
    ``Σ w_i G_i / Σ w_i`` with ``G_i = Σ_t γ^t r_t``. The policies here are greedy, so what
    is weighed for is ``π(a | s) = (1 − ε) [a = greedy(s)] + ε / A``, smoothed by a given ε:
    with ε = 0 a single action of another kind takes an episode's whole weight.

    Args:
        algo: A built d3rlpy algorithm of discrete actions; left as it is.
        held_out: N transitions in E episodes.
        propensities: (N,) b, the behaviour's probability of each recorded action: known, or
            what :func:`~offline_prune.evaluation.off_policy.estimated_propensities` found.
        gamma: γ.
        epsilon: ε in [0, 1].
        clip: Largest weight of an episode, before they are made to add up to 1; biased
            toward the behaviour, but of less variance. None for none.
        least_effective: Effective number of episodes below which the value counts as
            worthless.

    Returns:
        The value, the weights, and how many episodes they come to.

    Raises:
        AlgorithmError: If actions are continuous, or the policy is not one of these data.
        InputError: If a number or the propensities are of the wrong kind.

    References:
        Precup, Sutton, Singh 2000, Eligibility traces for off-policy policy evaluation;
        effective size: Kong 1992; clipping: Ionides 2008, Truncated importance sampling.

    Examples:
        >>> import numpy as np
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import (
        ...     split_episodes,
        ...     weighted_importance_sampling,
        ... )
        >>> data = load_dataset("cartpole/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "discrete_bc", sparsity=0.5, algo_params=small)
        >>> b = np.full(held_out.metadata.steps, 0.5)  # whoever recorded it tossed a coin
        >>> weighed = weighted_importance_sampling(
        ...     agent.algo, held_out, b, gamma=0.99, epsilon=0.1
        ... )
        >>> print(f"{sum(weighed.weights):.2f}")
        1.00
    """
    gamma = check_gamma(gamma)
    least_effective = finite_number("least_effective", least_effective)
    if clip is not None and finite_number("clip", clip) <= 0.0:
        raise InputError(f"clip is the largest weight, a number above 0 or None, not {clip!r}.")
    behaviour = check_propensities(propensities, held_out)
    target = epsilon_greedy_probabilities(algo, held_out, epsilon)
    with np.errstate(divide="ignore"):  # the logarithm of 0 is −∞, and its weight 0
        logs = np.add.reduceat(np.log(target) - np.log(behaviour), held_out.starts)
    if clip is not None:
        logs = np.minimum(logs, np.log(clip))
    weights, effective, value = np.zeros(len(logs)), 0.0, None
    if np.isfinite(logs.max()):
        weights = np.exp(logs - logs.max())  # a common factor leaves the value as it is
        weights /= weights.sum()
        effective = float(1.0 / np.square(weights).sum())
        value = float(weights @ behaviour_value(held_out, gamma).values)
    return WeightedImportance(
        value=value,
        weights=tuple(weights.tolist()),
        effective_episodes=effective,
        least_effective=least_effective,
        epsilon=float(epsilon),
        gamma=gamma,
    )
