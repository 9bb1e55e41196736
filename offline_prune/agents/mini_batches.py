"""Scoring mini-batches of a fixed dataset, scaled as the algorithm scales those it trains on."""

from __future__ import annotations

from typing import Any

import numpy as np
from d3rlpy.torch_utility import TorchMiniBatch, TorchTrajectoryMiniBatch

from offline_prune.agents.network import Batch
from offline_prune.agents.sequences import is_sequence_model
from offline_prune.base.arguments import whole_number
from offline_prune.data import Dataset

__all__ = ["SCORING_BATCH_SIZE", "draw_batches", "scoring_batch_size"]

SCORING_BATCH_SIZE = 256
"""Transitions a scoring mini-batch: what the paper's authors score on. Sequence models are scored
on as many stretches of ``context_size`` steps as a gradient step takes, at most on so many."""


def draw_batches(algo: Any, data: Dataset, n_batches: int, seed: int) -> list[Batch]:
    """Draw scoring mini-batches, scaled as the algorithm scales its training batches.

    Args:
        algo: A built d3rlpy algorithm; its scalers are fitted.
        data: The fixed dataset.
        n_batches: How many mini-batches of :data:`SCORING_BATCH_SIZE` transitions, or
            of all transitions where the dataset has fewer; of a sequence model's own number
            of trajectories.
        seed: Of the draw; numpy's global random state is neither read nor changed.

    Returns:
        Mini-batches on the algorithm's device.

    Raises:
        InputError: If ``n_batches`` is not a positive whole number.
    """
    n_batches = whole_number("n_batches", n_batches, 1)
    rng = np.random.default_rng(seed)
    count = data.buffer.transition_count
    size = min(scoring_batch_size(algo), count)
    drawn = [rng.choice(count, size=size, replace=False) for _ in range(n_batches)]
    as_trained: dict[str, Any] = {
        "device": algo.impl.device,
        "observation_scaler": algo.observation_scaler,
        "action_scaler": algo.action_scaler,
        "reward_scaler": algo.reward_scaler,
    }
    if is_sequence_model(algo):
        length = algo.config.context_size
        return [
            TorchTrajectoryMiniBatch.from_batch(
                batch=data.buffer.trajectories_at(indices, length), **as_trained
            )
            for indices in drawn
        ]
    return [
        TorchMiniBatch.from_batch(
            batch=data.buffer.batch_at(indices),
            gamma=algo.gamma,
            compute_returns_to_go=algo.need_returns_to_go,
            **as_trained,
        )
        for indices in drawn
    ]


def scoring_batch_size(algo: Any) -> int:
    """How many transitions, or stretches of trajectories, a scoring mini-batch has.

    Args:
        algo: A d3rlpy algorithm.

    Returns:
        The number, where the dataset has as many.
    """
    own = algo.batch_size if is_sequence_model(algo) else SCORING_BATCH_SIZE
    return min(int(own), SCORING_BATCH_SIZE)
