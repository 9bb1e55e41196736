"""The same algorithm with networks of its own."""

from __future__ import annotations

import io
from typing import Any

import torch

from offline_prune.ofenet import find_readers, share_ofenet

__all__ = ["copied", "packed", "unpacked"]


def copied(algo: Any) -> Any:
    """Copy an algorithm by what it would save: weights, targets, optimizers.

    Args:
        algo: A built d3rlpy algorithm, with a mask held or not.

    Returns:
        A d3rlpy algorithm with plain dense networks; pruned weights are exactly zero in it,
        and nothing holds them there.
    """
    return unpacked(*packed(algo))


def packed(algo: Any) -> tuple[Any, ...]:
    """What it takes to make the copy elsewhere: arguments of :func:`unpacked`.

    Args:
        algo: A built d3rlpy algorithm, with a mask held or not.

    Returns:
        Config, device, shape of an observation, action size, gradient steps, saved model.
    """
    file = io.BytesIO()
    algo.impl.save_model(file)
    impl = algo.impl
    return (algo.config, impl.device, impl.observation_shape, impl.action_size, algo.grad_step,
            file.getvalue())  # fmt: skip


def unpacked(
    config: Any,
    device: str,
    observation_shape: Any,
    action_size: int,
    grad_step: int,
    model: bytes,
) -> Any:
    """Make the copy.

    Args:
        config: Of the algorithm.
        device: Where its networks go.
        observation_shape: Of one observation.
        action_size: Length of the action vector, or number of actions.
        grad_step: Gradient steps it has behind it.
        model: What d3rlpy's ``save_model`` wrote.

    Returns:
        A built d3rlpy algorithm.
    """
    with torch.random.fork_rng():  # building the networks draws initial weights
        copy = config.create(device=device)
        copy.create_impl(observation_shape, action_size)
    copy.impl.load_model(io.BytesIO(model))
    if find_readers(copy):
        share_ofenet(copy)
    copy.set_grad_step(grad_step)
    return copy
