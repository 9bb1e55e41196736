"""The fixed batch of data that networks are looked at with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import ReplayBufferBase
from d3rlpy.torch_utility import convert_to_torch
from numpy.typing import NDArray
from torch import Tensor

from offline_prune.data import Dataset, FlatReplayBuffer
from offline_prune.errors import DatasetError

__all__ = ["Probe", "draw_probe"]

_ROWS = 128  # evaluated at once: activations of wide convolutions are large


@dataclass(frozen=True)
class Probe:
    """Observations and the actions that were taken.

    Attributes:
        observations: (B, *observation shape), as recorded.
        actions: (B, action size), or (B, 1) discrete.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]

    def batches(self, algo: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """The probe as an algorithm's networks see it.

        Args:
            algo: A built d3rlpy algorithm, whose scalers are built.

        Yields:
            Scaled observations (b, *observation shape) and scaled actions (b, action
            size), or (b, 1) int64, on the algorithm's device.
        """
        config, device = algo.config, algo.impl.device
        for start in range(0, len(self.actions), _ROWS):
            rows = slice(start, start + _ROWS)
            x = convert_to_torch(self.observations[rows], device)
            action = convert_to_torch(self.actions[rows], device)
            if config.observation_scaler:
                x = config.observation_scaler.transform(x)
            if config.action_scaler:
                action = config.action_scaler.transform(action)
            yield x, action.long() if algo.get_action_type() == ActionSpace.DISCRETE else action


def draw_probe(data: Dataset | ReplayBufferBase, n_transitions: int, seed: int) -> Probe:
    """Draw transitions without replacement, with a random generator of its own.

    Args:
        data: A dataset, or a d3rlpy replay buffer as it is now.
        n_transitions: How many; all of them where there are fewer.
        seed: Of the draw.

    Returns:
        Copies of the observations and actions.

    Raises:
        DatasetError: If there is no transition yet, or observations are tuples.
    """
    buffer = data.buffer if isinstance(data, Dataset) else data
    recorded = buffer.buffer
    count = len(recorded)
    if not count:
        raise DatasetError(
            "The replay buffer is empty: there is nothing to measure networks with. Measure"
            " once transitions have been collected."
        )
    rng = np.random.default_rng(seed)
    indices = rng.choice(count, size=min(n_transitions, count), replace=False)
    if isinstance(buffer, FlatReplayBuffer):
        batch = buffer.batch_at(indices)
        dtype = buffer.frames.dtype  # pixels stay bytes
        return Probe(batch.observations.astype(dtype, copy=False), batch.actions)
    transitions = [buffer.transition_picker(*recorded[int(i)]) for i in indices]
    if isinstance(transitions[0].observation, list | tuple):
        raise DatasetError(
            "The buffer holds tuple observations, which this package does not measure"
            " with. Concatenate them into one array."
        )
    return Probe(
        np.stack([transition.observation for transition in transitions]),
        np.stack([transition.action for transition in transitions]),
    )
