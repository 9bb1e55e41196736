"""How many gradient steps a Stable-Baselines3 model will take."""

from __future__ import annotations

import math
from typing import Any

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFrequencyUnit

from offline_prune.errors import InputError

__all__ = ["gradient_steps"]


def gradient_steps(model: Any, until: int) -> int:
    """Gradient steps of the rest of a call of ``learn``.

    On-policy models step ``n_epochs · ⌈n_steps · n_envs / batch_size⌉`` times a rollout (A2C
    once), fewer where ``target_kl`` ends an epoch; the others ``gradient_steps`` times after
    every ``train_freq`` steps of all environments, once ``learning_starts`` is over.

    Args:
        model: A model whose training starts.
        until: Environment steps at which it ends.

    Returns:
        The number, at least 1.

    Raises:
        InputError: If the model trains after whole episodes, whose number nobody knows.
    """
    start, n_envs = int(model.num_timesteps), int(model.n_envs)
    if isinstance(model, OnPolicyAlgorithm):
        collected = int(model.n_steps) * n_envs
        rollouts = math.ceil(max(0, until - start) / collected)
        batches = math.ceil(collected / int(getattr(model, "batch_size", collected)))
        return max(1, rollouts * int(getattr(model, "n_epochs", 1)) * batches)
    freq = model.train_freq
    if isinstance(freq, int):
        frequency, unit = freq, TrainFrequencyUnit.STEP
    elif isinstance(freq, tuple) and not hasattr(freq, "unit"):
        frequency, unit = freq[0], TrainFrequencyUnit(freq[1])
    else:
        frequency, unit = freq.frequency, freq.unit
    if unit == TrainFrequencyUnit.EPISODE:
        raise InputError(
            "This model trains after whole episodes: how many gradient steps it will take is not"
            " known before. Say it: PruningCallback(…, n_gradient_steps=…)."
        )
    collected = frequency * n_envs
    ends = range(start + collected, max(until, start) + collected, collected)
    trained = sum(1 for end in ends if end > model.learning_starts)
    each = model.gradient_steps if model.gradient_steps >= 0 else collected
    return max(1, trained * int(each))
