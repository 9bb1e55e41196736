"""ProsPr: how much the loss after some steps of training depends on a weight now."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from offline_prune.base.arguments import check_switch, finite_number, whole_number
from offline_prune.errors import InputError, NonFiniteError
from offline_prune.saliency.objective import Objective, Scores, hessian_product, mean_gradient

__all__ = ["LEARNING_RATE", "check_steps", "prospr"]

LEARNING_RATE = 0.01
"""η: after three such steps scores add up to .45 to 2 times SNIP's, for all algorithms on the
bundled data; at ten times this rate those of TD3+BC's critics to 500 times."""


def prospr(
    objective: Objective,
    steps: int = 3,
    learning_rate: float = LEARNING_RATE,
    first_order: bool = False,
) -> Scores:
    """Score a weight by how much the loss after some steps of SGD feels its removal now.

    Formula: ``score = |∂L(w_T)/∂c|`` at c = 1, where ``w_0 = c ⊙ w`` and
    ``w_{t+1} = w_t − η ∇L_t(w_t)``. That is ``|w ⊙ v_0|`` with ``v_T = ∇L(w_T)`` and
    ``v_t = v_{t+1} − η H_t(w_t) v_{t+1}``, which is computed backward from step to step, so
    that no more than one step's graph is held. c multiplies ``w_0`` alone: weights are
    pruned once, and train on.

    Step t takes mini-batch t, from the first again after the last; L is the mean loss over
    all mini-batches. Without steps, or at rate 0, this is SNIP. The prunable weights alone
    are stepped; biases stay. Targets and noise are frozen as in training: a mini-batch has
    the same noise whenever it is used, target networks are not stepped, and what a loss
    takes as constant (IQL's value of the next state) is read at the stepped weights and
    has no derivative.

    Args:
        objective: Weights and losses.
        steps: T, at least 1; 3 as the authors' code.
        learning_rate: η, from 0 on.
        first_order: Whether to leave out second derivatives: ``v_0 = ∇L(w_T)``.

    Returns:
        Weight name → non-negative score of the weight's shape; higher = keep.

    Raises:
        InputError: If a number is out of range.
        NonFiniteError: If the steps diverge. The weights are back where they were then, too.

    References:
        Alizadeh et al. 2022, arXiv 2202.08132.
    """
    check_steps(steps, learning_rate, first_order)
    weights = list(objective.weights.values())
    losses = [objective.losses[t % len(objective.losses)] for t in range(steps)]
    path = [[weight.data for weight in weights]]
    try:
        for loss in losses:
            gradients = torch.autograd.grad(loss(), weights, materialize_grads=True)
            path.append(list(torch._foreach_sub(path[-1], gradients, alpha=learning_rate)))
            _place(weights, path[-1])
        derivative = list(mean_gradient(objective).values())
        for loss, values in [] if first_order else zip(losses[::-1], path[-2::-1], strict=True):
            _place(weights, values)
            gradients = torch.autograd.grad(
                loss(), weights, create_graph=True, materialize_grads=True
            )
            products = hessian_product(gradients, weights, derivative)
            torch._foreach_sub_(derivative, products, alpha=learning_rate)
    except NonFiniteError as error:
        if len(path) == 1:
            raise  # the loss was not finite before any step
        raise NonFiniteError(
            f"ProsPr's steps of SGD diverge at learning_rate={learning_rate}. Take a smaller"
            " one, prospr(learning_rate=1e-4), or check the scale of rewards and"
            " observations (reward_scaler, observation_scaler)."
        ) from error
    finally:
        _place(weights, path[0])
    return {
        name: (weight.detach() * by_weight).abs()
        for (name, weight), by_weight in zip(objective.weights.items(), derivative, strict=True)
    }


def check_steps(steps: int, learning_rate: float, first_order: bool) -> None:
    """Check the options of :func:`prospr`.

    Args:
        steps: A whole number from 1 on.
        learning_rate: A finite number from 0 on.
        first_order: A bool.

    Raises:
        InputError: If one is anything else.
    """
    whole_number("steps", steps, 1)
    check_switch("first_order", first_order)
    if finite_number("learning_rate", learning_rate) < 0.0:
        raise InputError(f"learning_rate is a number from 0 on, not {learning_rate!r}.")


def _place(weights: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    """Let weights hold other tensors; the one that they held before is not written to."""
    for weight, value in zip(weights, values, strict=True):
        weight.data = value
