"""Losses that make a student act as its teacher does."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["kullback_leibler", "squashed_mean_square"]


def kullback_leibler(
    teacher_scores: Tensor, student_logits: Tensor, temperature: float = 0.01
) -> Tensor:
    """Divergence of a student's preferences over discrete actions from its teacher's.

    Formula: ``L = mean_s Σ_a p_T · log(p_T / p_S)`` with ``p_T = softmax(Q_T / τ)`` and
    ``p_S = softmax(Q_S)``. A small τ makes the teacher decide sharply where its scores
    differ by more than a few τ; adding a number to all scores of a state changes nothing.

    Args:
        teacher_scores: Q_T, (B, A): Q values or logits; no gradient runs through them.
        student_logits: Q_S, (B, A).
        temperature: τ > 0, in the units of the teacher's scores.

    Returns:
        L, a scalar in nats, 0 or more.

    References:
        Rusu et al. 2015, arXiv 1511.06295; Livne, Cohen 2020, arXiv 2001.05012.
    """
    wanted = functional.log_softmax(teacher_scores.detach() / temperature, dim=1)
    found = functional.log_softmax(student_logits, dim=1)
    return functional.kl_div(found, wanted, reduction="batchmean", log_target=True)


def squashed_mean_square(teacher_actions: Tensor, student_means: Tensor) -> Tensor:
    """Squared distance of a student's continuous actions from its teacher's.

    Formula: ``L = mean_{s, i} (tanh(μ_S)_i − a_T,i)²``.

    Args:
        teacher_actions: a_T, (B, A), in [−1, 1]; no gradient runs through them.
        student_means: μ_S, (B, A), before tanh.

    Returns:
        L, a scalar in [0, 4].
    """
    return functional.mse_loss(student_means.tanh(), teacher_actions.detach())
