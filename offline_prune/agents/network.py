"""A network: a prunable part of an agent and the loss that trains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from d3rlpy.torch_utility import TorchMiniBatch, TorchTrajectoryMiniBatch
from torch import Tensor, nn

__all__ = ["Batch", "Loss", "Network", "is_prunable"]

Batch: TypeAlias = TorchMiniBatch | TorchTrajectoryMiniBatch
"""Transitions; of a sequence model, stretches of trajectories."""

Loss: TypeAlias = Callable[[Batch], Tensor]
"""Mini-batch → scalar training loss, with a graph and without side effects."""


def is_prunable(module: nn.Module) -> bool:
    """Whether the module has a ``weight`` that may be pruned: linear or convolution.

    Biases, normalisation layers and free parameters (IQL's ``_logstd``, of shape
    (1, A)) never are.
    """
    return isinstance(module, nn.Linear | nn.Conv2d) and hasattr(module, "weight")


@dataclass(frozen=True)
class Network:
    """A part of an agent that is scored and pruned on its own.

    Attributes:
        role: In d3rlpy's words: ``"actor"``, ``"critic[0]"``, ``"critic[1]"``,
            ``"value"`` or ``"imitator"``; ``"features"`` for an OFENet.
        weights: Qualified name (as in d3rlpy's ``impl.modules``) → prunable weight.
        targets: Name of the online weight → its twin in the target network; empty
            where the algorithm keeps no target of this network.
        loss: The very loss that trains these weights. Networks that one loss trains
            together share one callable.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> network = scored.agent.networks[0]
        >>> network.role, network.n_weights
        ('actor', 320)
        >>> sorted(network.weights)[-1]
        'imitator._fc.weight'
    """

    role: str
    weights: Mapping[str, nn.Parameter]
    targets: Mapping[str, nn.Parameter]
    loss: Loss

    @property
    def n_weights(self) -> int:
        """Number of prunable weights."""
        return sum(weight.numel() for weight in self.weights.values())
