"""Schedules: how sparse, and how much to exchange, at a gradient step."""

from __future__ import annotations

import math

from offline_prune.base.arguments import whole_number
from offline_prune.errors import InputError

__all__ = ["check_window", "cosine_fraction", "cubic_sparsity", "update_interval"]


def cubic_sparsity(step: int, final: float, begin: int, end: int) -> float:
    """Sparsity that rises fast at first and slows down towards its end.

    Formula: ``s_t = s_F · (1 − (1 − (t − t0) / (t1 − t0))³)``; 0 until t0, s_F from t1 on.

    Args:
        step: t, gradient steps taken.
        final: s_F, the final sparsity, in [0, 1).
        begin: t0, when pruning begins.
        end: t1, when it ends; not before ``begin``.

    Returns:
        s_t, in [0, s_F].

    References:
        Zhu, Gupta 2017, arXiv 1710.01878, equation 1, from an initial sparsity of 0.
    """
    if step >= end:
        return final
    if step <= begin:
        return 0.0
    return final * (1.0 - (1.0 - (step - begin) / (end - begin)) ** 3)


def cosine_fraction(step: int, initial: float, end: int) -> float:
    """Fraction of a layer's connections to exchange, falling to 0.

    Formula: ``f_t = α/2 · (1 + cos(π·t / T_end))``; 0 from T_end on.

    Args:
        step: t, gradient steps taken.
        initial: α, the fraction at step 0, in [0, 1].
        end: T_end, when connections are exchanged for the last time.

    Returns:
        f_t, in [0, α].

    References:
        Evci et al. 2020, arXiv 1911.11134, equation 1.
    """
    if step >= end:
        return 0.0
    return initial / 2.0 * (1.0 + math.cos(math.pi * step / end))


def check_window(begin: float, end: float) -> None:
    """Check the part of a run in which a method works.

    Args:
        begin: Where it begins, as a fraction of the run.
        end: Where it ends.

    Raises:
        InputError: Unless ``0 ≤ begin ≤ end ≤ 1``.
    """
    if not 0.0 <= begin <= end <= 1.0:
        raise InputError(
            f"A method works from a fraction of the run to a later one, 0 ≤ begin ≤ end ≤ 1,"
            f" not from {begin} to {end}."
        )


def update_interval(n_steps: int, interval: int | None, default: int) -> int:
    """Steps between two masks.

    Args:
        n_steps: Length of the part of the run in which masks change.
        interval: What the user asked for; None for the default.
        default: The paper's; a short run is divided into 20 parts instead.

    Returns:
        The interval, at least 1.

    Raises:
        InputError: If the interval is not a whole number from 1 on.
    """
    if interval is None:
        return max(1, min(default, n_steps // 20))
    return whole_number("interval", interval, 1)
