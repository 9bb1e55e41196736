"""OFENet: features of states and actions, learned by predicting the next state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.optim import Optimizer

from offline_prune.base.arguments import whole_number
from offline_prune.errors import AlgorithmError
from offline_prune.ofenet.dense_net import DenseNet, dense_net_parameters

__all__ = ["OFENet", "ofenet_parameters", "without_actions"]


class OFENet(nn.Module):
    """Online feature extractor: two DenseNets and a linear prediction of the next state.

    Formula: ``z_s = φ(s)``, ``z_sa = ψ([z_s, a])``, ``ŝ' = W z_sa + b``, with n numbers in
    s, A in a, and L layers of u units in each of the two branches: z_s has ``n + L·u``
    numbers, z_sa has ``n + L·u + A + L·u``.

    Args:
        observation_size: n, length of the observation vector.
        action_size: A, length of the action vector or number of discrete actions; None
            for φ alone, which is all that a policy reads.
        n_layers: L, layers of each branch.
        units: u, units of each layer.
        discrete_action: Whether actions are numbers, counted from 0, that ψ reads
            one-hot.

    Attributes:
        state_branch: φ.
        state_action_branch: ψ; None without an action size.
        prediction: The linear head; None without an action size.
        optimizer: What steps its parameters, once a trainer has one; not saved.

    Raises:
        InputError: If a size is not a whole number from 1 on.

    References:
        Ota, Oiki, Jha, Mariyama, Nikovski 2020, arXiv 2003.01629.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int | None = None,
        *,
        n_layers: int = 6,
        units: int = 40,
        discrete_action: bool = False,
    ) -> None:
        """Draw the network from torch's random state: φ first, then ψ and the head."""
        super().__init__()
        self.optimizer: Optimizer | None = None
        observation_size = whole_number("observation_size", observation_size, 1)
        n_layers, units = whole_number("n_layers", n_layers, 1), whole_number("units", units, 1)
        if action_size is not None:
            action_size = whole_number("action_size", action_size, 1)
        self.sizes: dict[str, Any] = {
            "observation_size": observation_size,
            "action_size": action_size,
            "n_layers": n_layers,
            "units": units,
            "discrete_action": discrete_action,
        }
        self.state_branch = DenseNet(observation_size, n_layers, units)
        self.state_action_branch: DenseNet | None = None
        self.prediction: nn.Linear | None = None
        if action_size is not None:
            branch = DenseNet(self.state_branch.out_features + action_size, n_layers, units)
            self.state_action_branch = branch
            self.prediction = nn.Linear(branch.out_features, observation_size)

    @property
    def dtype(self) -> torch.dtype:
        """Precision the features are computed in."""
        return next(self.parameters()).dtype

    def phi(self, observations: Tensor) -> Tensor:
        """Features of states.

        Args:
            observations: (B, n), scaled as the algorithm scales them.

        Returns:
            z_s, (B, n + L·u).
        """
        found: Tensor = self.state_branch(observations)
        return found

    def psi(self, state_features: Tensor, actions: Tensor) -> Tensor:
        """Features of states and actions.

        Args:
            state_features: z_s, (B, n + L·u).
            actions: (B, A), scaled as the algorithm scales them; (B, 1) or (B,) numbers
                where actions are discrete.

        Returns:
            z_sa, (B, n + L·u + A + L·u).

        Raises:
            AlgorithmError: If this network has no state-action branch.
        """
        if self.state_action_branch is None:
            raise AlgorithmError(
                "This OFENet has a state branch alone: it belongs to an encoder that"
                " reads no action. share_ofenet(algo) gives it the other branch."
            )
        if self.sizes["discrete_action"]:
            numbers = actions.reshape(-1).long()
            actions = one_hot(numbers, self.sizes["action_size"]).to(state_features.dtype)
        found: Tensor = self.state_action_branch(torch.cat([state_features, actions], dim=1))
        return found

    def forward(self, observations: Tensor, actions: Tensor | None = None) -> Tensor:
        """Features: z_s of states, z_sa of states and actions.

        Args:
            observations: (B, n).
            actions: (B, A), or (B, 1) numbers where actions are discrete; None for z_s.

        Returns:
            φ(s) or ψ([φ(s), a]).

        Raises:
            AlgorithmError: If there are actions and no state-action branch.
        """
        features = self.phi(observations)
        return features if actions is None else self.psi(features, actions)

    def predict(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Predict the next observation.

        Args:
            observations: (B, n).
            actions: (B, A), or (B, 1) numbers where actions are discrete.

        Returns:
            ŝ', (B, n).

        Raises:
            AlgorithmError: If this network has no state-action branch.
        """
        features = self(observations, actions)
        assert self.prediction is not None
        found: Tensor = self.prediction(features)
        return found


def without_actions(sizes: dict[str, Any]) -> dict[str, Any]:
    """Sizes that the state branch has too."""
    return {n: s for n, s in sizes.items() if n not in ("action_size", "discrete_action")}


def ofenet_parameters(
    observation_size: int, action_size: int, n_layers: int = 6, units: int = 40
) -> int:
    """Number of parameters of an :class:`OFENet` with both branches.

    Formula, with n = observation size, A = action size, L layers of u units a branch and
    ``D(d) = L·u·(d + 3) + u²·L·(L − 1)/2`` (a DenseNet that reads d numbers)::

        D(n) + D(n + L·u + A) + (n + 2·L·u + A + 1)·n

    for φ, ψ and the linear head. Hopper (n = 11, A = 3), 6 layers of 40: 27 360 + 85 680
    + 5 445 = 118 485.

    Args:
        observation_size: n.
        action_size: A.
        n_layers: L.
        units: u.

    Returns:
        Weights, biases, and scales and shifts of batch normalisation.
    """
    hidden = n_layers * units
    return (
        dense_net_parameters(observation_size, n_layers, units)
        + dense_net_parameters(observation_size + hidden + action_size, n_layers, units)
        + (observation_size + 2 * hidden + action_size + 1) * observation_size
    )
