"""How likely were the recorded actions?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from d3rlpy.algos import DiscreteBCConfig
from d3rlpy.preprocessing import PixelObservationScaler, StandardObservationScaler
from numpy.typing import ArrayLike, NDArray

from offline_prune.agents.observation_statistics import mean_and_std
from offline_prune.base.arguments import check_seed, finite_number, shown, whole_number
from offline_prune.base.random_state import seeded_random_state
from offline_prune.data import Dataset
from offline_prune.errors import AlgorithmError, InputError, NonFiniteError
from offline_prune.evaluation.off_policy.policy import (
    check_policy,
    greedy_actions,
    observation_blocks,
)
from offline_prune.evaluation.off_policy.training import (
    check_learning_rate,
    judging_encoder,
    single_steps,
    train_judge,
)

__all__ = [
    "check_discrete",
    "check_propensities",
    "epsilon_greedy_probabilities",
    "estimated_propensities",
]


def check_discrete(data: Dataset) -> None:
    """Refuse continuous actions.

    Raises:
        AlgorithmError: If they are: a greedy policy has no density to weigh them by.
    """
    if data.metadata.action_kind != "discrete":
        raise AlgorithmError(
            "Importance weights are those of discrete actions: a deterministic policy of"
            " continuous ones never takes a recorded action. Use fitted_q_evaluation."
        )


def check_propensities(propensities: ArrayLike, data: Dataset) -> NDArray[np.float64]:
    """Return probabilities of recorded actions as an array.

    Args:
        propensities: One a transition.
        data: N transitions.

    Returns:
        (N,).

    Raises:
        InputError: If they are not N numbers in (0, 1]: what was done was possible.
    """
    try:
        found = np.asarray(propensities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Propensities are numbers, not {shown(propensities)}.") from error
    if found.shape != (len(data),):
        raise InputError(
            f"Propensities have the shape {found.shape}; expected {(len(data),)}: the behaviour's"
            " probability of each recorded action."
        )
    wrong = ~((found > 0.0) & (found <= 1.0))
    if wrong.any():
        step = int(np.argmax(wrong))
        raise InputError(
            f"The propensity of transition {step} is {found[step]}; expected a probability in"
            " (0, 1], since the action was taken. Estimate them, or drop the episode."
        )
    return found


def epsilon_greedy_probabilities(algo: Any, data: Dataset, epsilon: float) -> NDArray[np.float64]:
    """Probabilities of the recorded actions under a smoothed greedy policy.

    Formula: ``π(a | s) = (1 − ε) [a = greedy(s)] + ε / A`` with A actions.

    Args:
        algo: A built d3rlpy algorithm of discrete actions; left as it is.
        data: N transitions.
        epsilon: ε in [0, 1]; 0 is the greedy policy itself.

    Returns:
        (N,).

    Raises:
        AlgorithmError: If actions are continuous, or the policy is not one of these data.
        InputError: If ε is not in [0, 1].
    """
    if not 0.0 <= finite_number("epsilon", epsilon) <= 1.0:
        raise InputError(f"epsilon is a probability in [0, 1], not {epsilon!r}.")
    check_discrete(data)
    check_policy(algo, data)
    follows = greedy_actions(algo, data).reshape(-1) == data.actions[:, 0]
    found: NDArray[np.float64] = (1.0 - epsilon) * follows + epsilon / data.metadata.action_size
    return found


def estimated_propensities(
    data: Dataset,
    held_out: Dataset,
    *,
    n_steps: int,
    seed: int = 0,
    hidden_units: Sequence[int] = (256, 256),
    learning_rate: float = 1e-3,
    batch_size: int = 256,
) -> NDArray[np.float64]:
    """Probabilities of recorded actions by an imitation of the behaviour.

    d3rlpy's discrete BC is trained by maximum likelihood alone: its penalty on logits
    (``beta``), which draws probabilities together, is off. Observations are standardised, those
    of bytes divided by 255.

    Args:
        data: What the imitation is trained on: without the held-out episodes.
        held_out: N transitions.
        n_steps: Gradient steps.
        seed: Of initial weights and mini-batches; the global random states stay as they are.
        hidden_units: Widths of hidden layers, on vectors.
        learning_rate: Of Adam.
        batch_size: Transitions a step.

    Returns:
        (N,) the imitation's probability of each held-out action.

    Raises:
        AlgorithmError: If actions are continuous, or the two parts do not fit together.
        InputError: If a number is of the wrong kind.
        NonFiniteError: If the imitation diverged.

    References:
        Hanna, Niekum, Stone 2019, Importance sampling policy evaluation with an estimated
        behavior policy, arXiv 1806.01347.

    Examples:
        >>> from offline_prune import load_dataset
        >>> from offline_prune.evaluation.off_policy import estimated_propensities, split_episodes
        >>> rest, held_out = split_episodes(load_dataset("cartpole/mixture-v0"), 0.2, seed=0)
        >>> b = estimated_propensities(rest, held_out, n_steps=20, hidden_units=(16,))
        >>> b.shape == (held_out.metadata.steps,), bool((b > 0).all())
        (True, True)
    """
    n_steps, seed = whole_number("n_steps", n_steps, 1), check_seed(seed)
    check_discrete(data)
    data, held_out = single_steps(data), single_steps(held_out)
    if data.frames.dtype == np.uint8:
        scaler: Any = PixelObservationScaler()
    else:
        mean, std = mean_and_std(data)
        scaler = StandardObservationScaler(mean=mean, std=std)
    config = DiscreteBCConfig(
        learning_rate=check_learning_rate(learning_rate),
        batch_size=whole_number("batch_size", batch_size, 1),
        beta=0.0,
        encoder_factory=judging_encoder(data.metadata.observation_shape, hidden_units),
        observation_scaler=scaler,
    )
    with seeded_random_state(seed):
        bc = config.create(device=False)
        bc.build_with_dataset(data.buffer)
        check_policy(bc, held_out)
        try:
            train_judge(bc, data, n_steps)
            likely = _probabilities(bc, held_out)
        except ValueError as error:
            if "invalid values" not in str(error):
                raise
            raise NonFiniteError(  # torch makes no distribution of NaN
                "The imitation of the behaviour diverged: its outputs are not finite. Choose a"
                " smaller learning_rate."
            ) from error
    taken: NDArray[np.float64] = np.take_along_axis(likely, held_out.actions, axis=1)[:, 0]
    return np.maximum(taken, np.finfo(np.float32).tiny)  # it was taken, so it can be


def _probabilities(bc: Any, data: Dataset) -> NDArray[np.float64]:
    """(N, A) of a trained discrete BC, which d3rlpy shows the greatest of alone."""
    bc.impl.modules.set_eval()
    parts = []
    with torch.no_grad():
        for block in observation_blocks(data, np.arange(len(data))):
            x = bc.observation_scaler.transform(torch.as_tensor(block, dtype=torch.float32))
            parts.append(bc.impl.modules.imitator(x).probs.double().numpy())
    return np.concatenate(parts)
