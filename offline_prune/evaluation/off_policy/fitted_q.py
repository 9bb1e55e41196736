"""What is a policy worth, by a Q function that is fitted to it?"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from d3rlpy.ope import FQE, DiscreteFQE, FQEConfig
from d3rlpy.preprocessing import MultiplyRewardScaler

from offline_prune.base.arguments import check_seed, whole_number
from offline_prune.data import Dataset
from offline_prune.errors import NonFiniteError
from offline_prune.evaluation.off_policy.policy import (
    check_policy,
    observation_blocks,
    undisturbed,
)
from offline_prune.evaluation.off_policy.returns import check_gamma, returns_to_go
from offline_prune.evaluation.off_policy.training import (
    check_learning_rate,
    judging_encoder,
    single_steps,
    train_judge,
)

__all__ = ["FittedQ", "fitted_q_evaluation"]

_UNSEEN = 0.01  # of a constant reward's value, that renewals of the target need not reach
_LONGEST = 100  # steps between them, d3rlpy's default
_BEYOND = 0.1  # of the width of what is possible: an error of fitting, not yet divergence


@dataclass(frozen=True)
class FittedQ:
    """The value of a policy by fitted Q evaluation, in the data's unit, discounted.

    Attributes:
        value: Mean over the initial states of the held-out episodes.
        values: Of each of them, in the order of the episodes; for a bootstrap over episodes.
        gamma: Discount.
        n_steps: Gradient steps of the Q function.
        seed: Of its initial weights and mini-batches.
        least: Smallest value that rewards of the data can add up to.
        greatest: Largest one.
        states: Digest of the initial states: only values of the same states can be paired.
        missing: Weight of what lies further ahead than the Q function can have seen, γ^k
            after k renewals of its target: the part of a constant reward's value that is
            missing where episodes do not end earlier.
        seconds: Wall-clock seconds.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import fitted_q_evaluation, split_episodes
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "bc", sparsity=0.5, algo_params=small)
        >>> fitted = fitted_q_evaluation(agent.algo, rest, held_out, n_steps=20, hidden_units=(16,))
        >>> fitted.is_possible == (fitted.least <= fitted.value <= fitted.greatest)
        True
    """

    value: float
    values: tuple[float, ...]
    gamma: float
    n_steps: int
    seed: int
    least: float
    greatest: float
    states: str
    missing: float
    seconds: float

    @property
    def is_possible(self) -> bool:
        """Whether no value lies far (a tenth of the range) beyond what rewards can add up to.

        Where one does, the Q function diverged, and no value is worth anything.
        """
        slack = 0.0
        if np.isfinite([self.least, self.greatest]).all():
            slack = _BEYOND * (self.greatest - self.least)
        return self.least - slack <= min(self.values) and max(self.values) <= self.greatest + slack


def fitted_q_evaluation(
    algo: Any,
    data: Dataset,
    held_out: Dataset,
    *,
    n_steps: int,
    seed: int = 0,
    gamma: float | None = None,
    hidden_units: Sequence[int] = (256, 256),
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    target_update_interval: int | None = None,
) -> FittedQ:
    """Fit d3rlpy's ``FQE`` to a policy, and average it over true initial states.

    Formulas: Q minimises ``(Q(s, a) − r − γ Q'(s', π(s')))²`` over the data, Q' a copy that
    is renewed every ``target_update_interval`` steps; the value is the mean of
    ``Q(s₀, π(s₀))`` over the first states of the held-out episodes, π the greedy policy.

    The Q function reads observations and actions through the agent's own scalers, as the
    agent's networks do: d3rlpy hands them what it scaled itself. The agent's reward scaler
    plays no part: one that shifts rewards is not undone by any factor where episodes end. Rewards
    are divided by twice the largest return from any step of the data instead, and values
    multiplied by it. So errors of discrete Q functions stay below 1, where d3rlpy's Huber
    loss is the square; beyond, it would fit something nearer to the median.

    Args:
        algo: A built d3rlpy algorithm, discrete or continuous; left as it is, as are the
            global random states.
        data: What the Q function is fitted to: without the held-out episodes.
        held_out: Episodes whose first states the value is averaged over.
        n_steps: Gradient steps.
        seed: Of initial weights and mini-batches. Compare policies under the same one.
        gamma: Discount; None takes the agent's. Compare policies under the same one.
        hidden_units: Widths of hidden layers, on vectors.
        learning_rate: Of Adam.
        batch_size: Transitions a step.
        target_update_interval: Steps between renewals of the target, each of which looks one
            step further ahead. None takes as many as let renewals reach 1 % of a constant
            reward's value (of undiscounted rewards the longest episode), at most 100.

    Returns:
        The value and its parts.

    Raises:
        AlgorithmError: If the policy is not one of single observations of these data.
        InputError: If a number is of the wrong kind.
        NonFiniteError: If the Q function diverged to NaN or infinity.

    References:
        Le, Voloshin, Yue 2019, Batch policy learning under constraints, arXiv 1903.08738;
        d3rlpy's ``FQE`` and ``DiscreteFQE``. For choosing among policies: Paine et al. 2020,
        arXiv 2007.09055.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import fitted_q_evaluation, split_episodes
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "bc", sparsity=0.5, algo_params=small)
        >>> fitted = fitted_q_evaluation(agent.algo, rest, held_out, n_steps=20, hidden_units=(16,))
        >>> len(fitted.values), fitted.n_steps
        (30, 20)
    """
    n_steps, seed = whole_number("n_steps", n_steps, 1), check_seed(seed)
    check_policy(algo, data)
    check_policy(algo, held_out)
    gamma = check_gamma(algo.gamma if gamma is None else gamma)
    data, held_out = single_steps(data), single_steps(held_out)
    if target_update_interval is None:
        target_update_interval = _interval(data, gamma, n_steps)
    interval = whole_number("target_update_interval", target_update_interval, 1)
    scale = 2.0 * float(np.abs(returns_to_go(data, gamma)).max()) or 1.0
    config = FQEConfig(
        learning_rate=check_learning_rate(learning_rate),
        batch_size=whole_number("batch_size", batch_size, 1),
        gamma=gamma,
        target_update_interval=interval,
        encoder_factory=judging_encoder(data.metadata.observation_shape, hidden_units),
        observation_scaler=algo.config.observation_scaler,
        action_scaler=algo.config.action_scaler,
        reward_scaler=MultiplyRewardScaler(multiplier=1.0 / scale),
    )
    kind = DiscreteFQE if data.metadata.action_kind == "discrete" else FQE
    start = time.perf_counter()
    digest = hashlib.sha256()
    values: list[float] = []
    with undisturbed(algo, seed):
        fqe = kind(algo, config, device=algo.impl.device)
        train_judge(fqe, data, n_steps)
        for states in observation_blocks(held_out, held_out.starts):
            digest.update(states.tobytes())
            found = fqe.predict_value(states, algo.predict(states))
            values += (scale * found.astype(np.float64)).tolist()
    if not np.isfinite(values).all():
        raise NonFiniteError(
            "Fitted Q evaluation diverged: values of initial states are not finite. Choose a"
            " smaller learning_rate, a smaller gamma or more data."
        )
    least, greatest = _possible(data, gamma)
    return FittedQ(
        value=float(np.mean(values)),
        values=tuple(values),
        gamma=gamma,
        n_steps=n_steps,
        seed=seed,
        least=least,
        greatest=greatest,
        states=digest.hexdigest()[:16],
        missing=gamma ** (n_steps // interval),
        seconds=time.perf_counter() - start,
    )


def _interval(data: Dataset, gamma: float, n_steps: int) -> int:
    """Steps between renewals that make for enough of them."""
    renewals = float(np.diff(data.ends, prepend=0).max())
    if gamma < 1.0:
        renewals = np.log(_UNSEEN) / np.log(max(gamma, _UNSEEN))
    return int(np.clip(n_steps // np.ceil(renewals), 1, _LONGEST))


def _possible(data: Dataset, gamma: float) -> tuple[float, float]:
    """What rewards of the data can add up to, for ever or until an end: ``r / (1 − γ)``, or 0."""
    low, high = min(0.0, float(data.rewards.min())), max(0.0, float(data.rewards.max()))
    if gamma == 1.0:
        return (-np.inf if low else 0.0), (np.inf if high else 0.0)
    return low / (1.0 - gamma), high / (1.0 - gamma)
