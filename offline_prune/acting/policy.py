"""The acting policy of an algorithm, as a module of plain layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from d3rlpy.algos import DiscreteBCQConfig
from d3rlpy.constants import ActionSpace
from d3rlpy.models.torch import (
    CategoricalPolicy,
    DeterministicPolicy,
    DeterministicResidualPolicy,
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
    rescale,
)
from offline_prune.acting.stacks import compact_stack, frozen
from offline_prune.acting.traced import remove_unread_units
from offline_prune.agents.agent import Agent
from offline_prune.agents.network import is_prunable
from offline_prune.agents.networks import acting_modules
from offline_prune.agents.sequences import is_sequence_model
from offline_prune.agents.topology import Chain
from offline_prune.errors import UnsupportedExportError
from offline_prune.ofenet.encoder import OFENetReader

__all__ = ["PLAIN_OWNERS", "ActingPolicy", "acting_head", "acting_policy"]

PLAIN_OWNERS = (CategoricalPolicy, DeterministicPolicy, DiscreteMeanQFunction, NormalPolicy)
"""Policies and critics that are an encoder and one layer that decides on the action."""

_CONTINUOUS = (DeterministicPolicy, DeterministicResidualPolicy, NormalPolicy)


class ActingPolicy(nn.Module):
    """Observation scaler → networks → rule → action scaler, without any randomness.

    Attributes:
        observation_scale: None where observations are read as they are.
        networks: Each reads the scaled observation; their outputs stand side by side.
        rule: From these outputs to the action.
        action_scale: None where actions stay what the rule makes of them, and for discrete ones.
        observation_shape: Of one observation.
        channels_last: Whether that is (H, W, C), where the networks read (C, H, W).
        action_size: Length of the action vector or number of actions.
        discrete: Whether the action is a number.
        n_weights: Weights of the networks before any unit left.
        n_nonzero: Weights among them that are not zero.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> agent, _ = prune(data, "bc", sparsity=0.9)
        >>> agent.engine.detach()  # the compact form goes, the zeros stay
        >>> from offline_prune.export import acting_policy
        >>> policy = acting_policy(agent.algo)
        >>> policy.observation_shape, policy.action_size, policy.discrete
        ((3,), 1, False)
        >>> f"{policy.sparsity:.2f}"
        '0.90'
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
        channels_last: bool = False,
    ) -> None:
        """Put the parts together, in evaluation mode and frozen."""
        super().__init__()
        self.observation_scale = observation_scale
        self.networks = nn.ModuleList(networks)
        self.rule = rule
        self.action_scale = action_scale
        self.observation_shape = tuple(int(n) for n in observation_shape)
        self.channels_last = channels_last
        self.action_size = int(action_size)
        self.discrete = isinstance(rule, ArgmaxRule)
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
        return self.network_outputs(self.scaled(observations))

    def scaled(self, observations: Tensor) -> Tensor:
        """Observations as the networks read them: channels first, scaled."""
        x = observations.movedim(-1, 1) if self.channels_last else observations
        return x if self.observation_scale is None else self.observation_scale(x)

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
    def network_shape(self) -> tuple[int, ...]:
        """Of one observation as the networks read it."""
        *image, channels = self.observation_shape
        return (channels, *image) if self.channels_last else self.observation_shape

    @property
    def sparsity(self) -> float:
        """Fraction of the acting networks' weights that are zero."""
        return 1.0 - self.n_nonzero / self.n_weights


def acting_policy(algo: Any) -> ActingPolicy:
    """Build what ``algo.predict`` computes from plain layers, dead units left out.

    Weights that are exactly zero count as pruned. Stacks of layers are compacted.
    IMPALA and Impoola encoders, and encoders of parts, lose the channels and units that nobody
    reads, residual channels all at once, and so do critics of quantiles; in the latter two
    Torch-Pruning finds which belong together. Other encoders (layer normalisation, your own) are
    copied whole, and so are the features of an OFENet below a compacted stack.

    Args:
        algo: A built d3rlpy algorithm; it stays as it is.

    Returns:
        The policy, on the CPU. It shares no tensor with the algorithm.

    Raises:
        AlgorithmError: If the algorithm is not built or not one this package knows.
        UnsupportedExportError: If its policy samples (BCQ), remembers (transformers), reads
            quantiles' levels (IQN), or a scaler is not known.

    Warns:
        WholeEncoderWarning: If channels could leave and Torch-Pruning is missing.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> agent, _ = prune(data, "bc", sparsity=0.9)
        >>> agent.engine.detach()  # the compact form goes, the zeros stay
        >>> import torch
        >>> from offline_prune.export import acting_policy
        >>> policy = acting_policy(agent.algo)
        >>> with torch.no_grad():
        ...     policy(torch.as_tensor(data.observations[:5])).shape
        torch.Size([5, 1])
    """
    agent = Agent.of(algo)
    if is_sequence_model(algo):
        raise UnsupportedExportError(
            f"{type(algo).__name__} acts by what it has seen, done and earned in its episode, and"
            " the policies written here are functions of one observation. d3rlpy's own"
            " algo.save_policy('policy.pt') writes the network, dense; the past is up to you then."
        )
    action_size = int(algo.impl.action_size)
    owners: list[Any] = list(acting_modules(algo).values())
    if len(owners) > 1 and isinstance(owners[0], _CONTINUOUS):
        raise UnsupportedExportError(
            f"The policy of {type(algo).__name__} is not a function of the observation that one"
            " network computes: BCQ, BEAR and CRR draw actions and take one that their critic"
            " likes, PLAS decodes what its actor puts out. Export one of AWAC, BC, CalQL, CQL,"
            " DDPG, IQL, ReBRAC, SAC, TD3, TD3+BC, or a discrete algorithm."
        )
    if any(isinstance(owner, DiscreteIQNQFunction) for owner in owners):
        raise UnsupportedExportError(
            "DiscreteIQNQFunction computes its quantiles' levels anew for every batch and reads"
            " them beside the observation, which none of the formats expresses. Export an"
            " algorithm with MeanQFunctionFactory or QRQFunctionFactory."
        )
    networks, order = _networks(owners, agent.chains, algo.impl.observation_shape)
    rule: Rule
    if algo.get_action_type() != ActionSpace.DISCRETE:
        rule = TanhRule()
    elif isinstance(algo.config, DiscreteBCQConfig):
        imitator = order.index(algo.impl.modules.imitator)
        rule = ConstrainedArgmaxRule(action_size, imitator, algo.config.action_flexibility)
    else:
        rule = ArgmaxRule(action_size)
    weights = _acting_weights(owners)
    return ActingPolicy(
        rescale(algo.config.observation_scaler, "observation"),
        networks,
        rule,
        rescale(getattr(algo.config, "action_scaler", None), "action"),
        observation_shape=algo.impl.observation_shape,
        action_size=action_size,
        n_weights=sum(weight.numel() for weight in weights),
        n_nonzero=sum(int(weight.count_nonzero()) for weight in weights),
    )


def _networks(
    owners: Sequence[Any], chains: Sequence[Chain], shape: Sequence[int]
) -> tuple[list[nn.Module], list[Any]]:
    """One network a chain, one an owner that has none; and whose outputs stand side by side."""
    networks: list[nn.Module] = []
    order: list[Any] = []
    for owner in owners:
        if owner in order:
            continue
        chain = next((c for c in chains if owner in c.owners), None)
        if chain is None or type(owner) not in PLAIN_OWNERS:
            members = [owner]
            network = _without_stack(owner, shape)
        else:
            members = [o for o in owners if o in chain.owners]
            network = compact_stack(chain, [acting_head(member) for member in members])
            if isinstance(owner._encoder, OFENetReader):
                network = nn.Sequential(frozen(owner._encoder.ofenet.state_branch), network)
        networks.append(network)
        order += members
    return networks, order


def acting_head(owner: Any) -> nn.Linear:
    """The layer of one of :data:`PLAIN_OWNERS` whose outputs decide on the action."""
    head: nn.Linear = owner._mu if isinstance(owner, NormalPolicy) else owner._fc
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
        encoder, head = frozen(owner._encoder), frozen(acting_head(owner))
        network = nn.Sequential(encoder, head)
        remove_unread_units(network, encoder, [head], shape)
        return network
    copied = frozen(owner)
    values = _QValues(copied)
    if type(owner) is DiscreteQRQFunction:
        remove_unread_units(values, copied._encoder, [copied._fc], shape)
    return values
