"""The acting policy of an algorithm, as a module of plain layers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from d3rlpy.models.torch import (
    CategoricalPolicy,
    DeterministicPolicy,
    DiscreteIQNQFunction,
    DiscreteMeanQFunction,
    DiscreteQRQFunction,
    NormalPolicy,
)
from torch import Tensor, nn

from offline_prune.acting.rules import (
    ArgmaxRule,
    ConstrainedArgmaxRule,
    Rescale,
    Rule,
    TanhRule,
    action_rescale,
    observation_rescale,
)
from offline_prune.acting.stacks import compact_stack
from offline_prune.acting.traced import remove_unread_units
from offline_prune.agents.agent import Agent
from offline_prune.agents.network import is_prunable
from offline_prune.agents.topology import Chain
from offline_prune.errors import UnsupportedExportError
from offline_prune.ofenet.encoder import OFENetReader

__all__ = ["PLAIN_OWNERS", "ActingPolicy", "acting_head", "acting_policy"]

_ACTORS = {
    "BCConfig": "imitator",
    "DiscreteBCConfig": "imitator",
    "TD3PlusBCConfig": "policy",
    "TD3Config": "policy",
    "SACConfig": "policy",
    "CQLConfig": "policy",
    "IQLConfig": "policy",
}
_CRITICS = ("DQNConfig", "DoubleDQNConfig", "DiscreteCQLConfig", "DiscreteBCQConfig")

PLAIN_OWNERS = (CategoricalPolicy, DeterministicPolicy, DiscreteMeanQFunction, NormalPolicy)
"""Policies and critics that are an encoder and one layer that decides on the action."""


class ActingPolicy(nn.Module):
    """Observation scaler → networks → rule → action scaler, without any randomness.

    Attributes:
        observation_scale: None where observations are read as they are.
        networks: Each reads the scaled observation; their outputs stand side by side.
        rule: From these outputs to the action.
        action_scale: None where actions stay in [−1, 1], and for discrete ones.
        observation_shape: Of one observation.
        action_size: Length of the action vector or number of actions.
        discrete: Whether the action is a number.
        n_weights: Weights of the networks before any unit left.
        n_nonzero: Weights among them that are not zero.
    """

    def __init__(
        self,
        observation_scale: Rescale | None,
        networks: Sequence[nn.Module],
        rule: Rule,
        action_scale: Rescale | None,
        *,
        observation_shape: Sequence[int],
        action_size: int,
        n_weights: int,
        n_nonzero: int,
    ) -> None:
        """Put the parts together, in evaluation mode and frozen."""
        super().__init__()
        self.observation_scale = observation_scale
        self.networks = nn.ModuleList(networks)
        self.rule = rule
        self.action_scale = action_scale
        self.observation_shape = tuple(int(n) for n in observation_shape)
        self.action_size = int(action_size)
        self.discrete = not isinstance(rule, TanhRule)
        self.n_weights = n_weights
        self.n_nonzero = n_nonzero
        self.eval().requires_grad_(False)

    def outputs(self, observations: Tensor) -> Tensor:
        """What the networks put out.

        Args:
            observations: (B, *observation shape) float32, as the environment gives them.

        Returns:
            (B, outputs): means of actions, logits, or Q values.
        """
        x = observations
        if self.observation_scale is not None:
            x = self.observation_scale(x)
        return self.network_outputs(x)

    def network_outputs(self, x: Tensor) -> Tensor:
        """The same of scaled observations, as the networks read them."""
        return torch.cat([network(x) for network in self.networks], dim=1)

    def forward(self, observations: Tensor) -> Tensor:
        """The action: (B, A) float32, or (B,) int64.

        Args:
            observations: (B, *observation shape) float32, as the environment gives them.
        """
        action: Tensor = self.rule(self.outputs(observations))
        return action if self.action_scale is None else self.action_scale(action)

    @property
    def sparsity(self) -> float:
        """Fraction of the acting networks' weights that are zero."""
        return 1.0 - self.n_nonzero / self.n_weights


def acting_policy(algo: Any) -> ActingPolicy:
    """Build what ``algo.predict`` computes from plain layers, dead units left out.

    Weights that are exactly zero count as pruned. Stacks of layers are compacted.
    IMPALA and Impoola encoders lose the channels and units that nobody reads, residual
    channels all at once, and so do critics of quantiles; Torch-Pruning finds which belong
    together. Other encoders (layer normalisation, your own) are copied whole, and so are the
    features of an OFENet below a compacted stack.

    Args:
        algo: A built d3rlpy algorithm; it stays as it is.

    Returns:
        The policy, on the CPU. It shares no tensor with the algorithm.

    Raises:
        AlgorithmError: If the algorithm is not built or not one this package knows.
        UnsupportedExportError: If its policy samples (BCQ), reads quantiles' levels (IQN), or
            a scaler is not known.

    Warns:
        WholeEncoderWarning: If channels could leave and Torch-Pruning is missing.
    """
    agent = Agent.of(algo)
    name, modules = type(algo.config).__name__, algo.impl.modules
    action_size = int(algo.impl.action_size)
    imitator: nn.Module | None = None
    if name in _ACTORS:
        owners = [getattr(modules, _ACTORS[name])]
    elif name in _CRITICS:
        owners = list(modules.q_funcs)
        imitator = getattr(modules, "imitator", None)
        if imitator is not None:
            owners.append(imitator)
    else:
        raise UnsupportedExportError(
            f"The policy of {type(algo).__name__} is not a function of the observation: BCQ"
            " draws actions from its VAE and takes the one its critic likes best. Export"
            " one of BC, CQL, IQL, TD3+BC, TD3, SAC, or a discrete algorithm."
        )
    if any(isinstance(owner, DiscreteIQNQFunction) for owner in owners):
        raise UnsupportedExportError(
            "DiscreteIQNQFunction computes its quantiles' levels anew for every batch and reads"
            " them beside the observation, which none of the formats expresses. Export an"
            " algorithm with MeanQFunctionFactory or QRQFunctionFactory."
        )
    parts = _networks(owners, agent.chains, algo.impl.observation_shape)
    rule: Rule
    if imitator is not None:
        order = [owner for part in parts for owner in part.owners]
        number = next(i for i, owner in enumerate(order) if owner is imitator)
        rule = ConstrainedArgmaxRule(action_size, number, algo.config.action_flexibility)
    elif name in _CRITICS or isinstance(owners[0], CategoricalPolicy):
        rule = ArgmaxRule(action_size)
    else:
        rule = TanhRule()
    weights = _acting_weights(owners)
    return ActingPolicy(
        observation_rescale(algo.config.observation_scaler),
        [part.network for part in parts],
        rule,
        action_rescale(getattr(algo.config, "action_scaler", None)),
        observation_shape=algo.impl.observation_shape,
        action_size=action_size,
        n_weights=sum(weight.numel() for weight in weights),
        n_nonzero=sum(int(weight.count_nonzero()) for weight in weights),
    )


@dataclass(frozen=True)
class _Part:
    network: nn.Module
    owners: tuple[nn.Module, ...]  # whose outputs stand side by side


def _networks(
    owners: Sequence[nn.Module], chains: Sequence[Chain], shape: Sequence[int]
) -> list[_Part]:
    """One network a chain, one an owner that has none; in the order of the owners."""
    parts: list[_Part] = []
    done: set[int] = set()
    for owner in owners:
        if id(owner) in done:
            continue
        chain = next((c for c in chains if any(o is owner for o in c.owners)), None)
        if chain is None or type(owner) not in PLAIN_OWNERS:
            members = [owner]
            network = _without_stack(owner, shape)
        else:
            members = [o for o in owners if any(o is held for held in chain.owners)]
            network = compact_stack(chain, [acting_head(member) for member in members])
            if isinstance(owner._encoder, OFENetReader):
                features = _frozen(owner._encoder.ofenet.state_branch)
                network = nn.Sequential(features, network)
        done |= {id(member) for member in members}
        parts.append(_Part(network, tuple(members)))
    return parts


def acting_head(owner: Any) -> nn.Module:
    """The layer of one of :data:`PLAIN_OWNERS` whose outputs decide on the action."""
    head: nn.Module = owner._mu if isinstance(owner, NormalPolicy) else owner._fc
    return head


def _acting_weights(owners: Sequence[Any]) -> list[Tensor]:
    """Weights that the action depends on, each once."""
    tops: list[nn.Module] = []
    for owner in owners:
        plain = type(owner) in PLAIN_OWNERS
        tops += [owner._encoder, acting_head(owner)] if plain else [owner]
        if isinstance(owner._encoder, OFENetReader):
            tops.append(owner._encoder.ofenet.state_branch)
    layers: list[Any] = [m for top in tops for m in top.modules() if is_prunable(m)]
    return [weight.detach() for weight in {id(m): m.weight for m in layers}.values()]


class _QValues(nn.Module):
    """The Q values of a distributional critic."""

    def __init__(self, owner: nn.Module) -> None:
        super().__init__()
        self.owner = owner

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.owner(x).q_value
        return values


def _without_stack(owner: Any, shape: Sequence[int]) -> nn.Module:
    """An encoder and its head, copied; units that nobody reads leave where that is exact."""
    if type(owner) in PLAIN_OWNERS:
        encoder, head = _frozen(owner._encoder), _frozen(acting_head(owner))
        network = nn.Sequential(encoder, head)
        remove_unread_units(network, encoder, [head], shape)
        return network
    copied: Any = _frozen(owner)
    values = _QValues(copied)
    if type(owner) is DiscreteQRQFunction:
        remove_unread_units(values, copied._encoder, [copied._fc], shape)
    return values


def _frozen(module: Any) -> nn.Module:
    copied: nn.Module = copy.deepcopy(module).cpu().eval().requires_grad_(False)
    return copied
