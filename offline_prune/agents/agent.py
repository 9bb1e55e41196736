"""An agent: what a library trains, and its prunable networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from offline_prune.agents.d3rlpy_host import D3rlpyHost
from offline_prune.agents.host import Host
from offline_prune.agents.network import Network
from offline_prune.agents.networks import find_networks
from offline_prune.agents.own_encoders import check_layers
from offline_prune.agents.reparameterised import refuse_reparameterised
from offline_prune.agents.separable import Separable, find_separable
from offline_prune.agents.stacks import Stack, find_stacks
from offline_prune.agents.topology import Chain, find_chains
from offline_prune.agents.transformer_stacks import find_transformer_stacks
from offline_prune.errors import UnknownNameError

__all__ = ["Agent"]


@dataclass(frozen=True)
class Agent:
    """A library's agent, seen as networks that can be scored and pruned.

    Attributes:
        host: The library that trains it.
        name: What the algorithm is called here, e.g. ``"cql"`` or ``"discrete_bcq"``.
        networks: The prunable networks.
        chains: How the units of the online networks feed one another.
        target_chains: The same for the target networks.
        paths: The chains, and the stacks with layer normalisation: along which weights
            inputs flow to outputs.
        separable: The online networks whose units may leave one by one.
        target_separable: The same of the target networks.
        stacks: The online networks that the sparse kernels can compute.
        target_stacks: The same of the target networks.

    Examples:
        >>> from offline_prune import score
        >>> agent = score("pendulum/mixture-v0", "iql", 0.9).agent
        >>> agent.roles
        ('actor', 'critic[0]', 'critic[1]', 'value')
        >>> agent.networks[0].n_weights
        66560
    """

    host: Host
    name: str
    networks: tuple[Network, ...]
    chains: tuple[Chain, ...]
    target_chains: tuple[Chain, ...]
    paths: tuple[Chain, ...]
    separable: tuple[Separable, ...]
    target_separable: tuple[Separable, ...]
    stacks: tuple[Stack, ...]
    target_stacks: tuple[Stack, ...]

    @classmethod
    def of(cls, algo: Any, name: str | None = None) -> Agent:
        """Look into a built d3rlpy algorithm.

        Args:
            algo: The algorithm; its ``impl`` is built.
            name: What to call it; d3rlpy's type name if not given.

        Returns:
            The agent.

        Raises:
            AlgorithmError: If the algorithm is not built, its networks are unknown, or the
                weight of a layer is computed from other parameters, or the layers that were
                registered for an encoder are not what it computes.
        """
        if getattr(algo, "impl", None) is not None:
            refuse_reparameterised(algo.impl.modules.get_torch_modules().items())
        networks = find_networks(algo)
        online = {id(w): n for net in networks for n, w in net.weights.items()}
        target = {id(w): n for net in networks for n, w in net.targets.items()}
        host = D3rlpyHost(algo)
        tops, shape = host.modules.values(), host.observation_shape
        for module in tops:
            if isinstance(encoder := getattr(module, "_encoder", None), nn.Module):
                check_layers(encoder, shape)
        chains, target_chains = (find_chains(tops, names, shape) for names in (online, target))
        return cls(
            host=host,
            name=name or algo.config.get_type(),
            networks=networks,
            chains=chains,
            target_chains=target_chains,
            paths=find_chains(tops, online, shape, normalised=True),
            separable=find_separable(tops, online, chains),
            target_separable=find_separable(tops, target, target_chains),
            stacks=(*find_stacks(tops, online), *find_transformer_stacks(tops, online)),
            target_stacks=find_stacks(tops, target),
        )

    @property
    def algo(self) -> Any:
        """The library's own object: a d3rlpy algorithm, if it is d3rlpy's agent."""
        return self.host.algo

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of the networks, e.g. ``("actor", "critic[0]", "critic[1]")``."""
        return tuple(network.role for network in self.networks)

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """Every prunable weight by its qualified name."""
        return {n: w for network in self.networks for n, w in network.weights.items()}

    @property
    def targets(self) -> dict[str, nn.Parameter]:
        """Name of the online weight → its twin in the target network."""
        return {n: w for network in self.networks for n, w in network.targets.items()}

    @property
    def followed(self) -> frozenset[str]:
        """Names of the weights whose way from inputs to outputs is known."""
        return frozenset(name for path in self.paths for name in path.weight_names)

    def per_network(self, value: float | Mapping[str, float]) -> dict[str, float]:
        """Spread a number over the networks.

        Args:
            value: One number for all, or role → number; ``"critic"`` stands for all
                critics, and a network that is not named gets 0.

        Returns:
            Role → number, for every network.

        Raises:
            UnknownNameError: If a role does not exist in this agent.
        """
        if not isinstance(value, Mapping):
            return dict.fromkeys(self.roles, value)
        numbers = dict.fromkeys(self.roles, 0.0)
        for role, number in sorted(value.items(), key=lambda item: "[" in str(item[0])):
            named = [r for r in self.roles if role in (r, r.partition("[")[0])]
            if not named:
                known = {*self.roles, *(r.partition("[")[0] for r in self.roles)}
                raise UnknownNameError(f"network of {self.name}", str(role), known)
            numbers |= dict.fromkeys(named, number)
        return numbers
