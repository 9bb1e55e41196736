"""All units of an agent, in groups that are paid for together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.feature_units import feature_readers, feature_units
from offline_prune.agents.network import Network
from offline_prune.agents.sequences import is_sequence_model
from offline_prune.agents.topology import Chain
from offline_prune.agents.units import (
    Reader,
    UnitGraph,
    Units,
    WeightOfUnits,
    chain_readers,
    chain_units,
    merge_units,
)
from offline_prune.errors import AlgorithmError
from offline_prune.ofenet import OFENet

__all__ = ["UnitGroup", "unit_groups"]


@dataclass(frozen=True)
class UnitGroup:
    """Units of networks that share some: twin critics are two, a shared encoder is one.

    Attributes:
        graph: The units.
        roles: The networks whose weights they own.
        readers: The layers that read the units, in targets too; none where the wiring is no
            stack or tree of layers.
        ofenet: The OFENet whose units these are.
        elsewhere: Weights of other networks that read the units.
    """

    graph: UnitGraph
    roles: tuple[str, ...]
    readers: tuple[Reader, ...] = ()
    ofenet: OFENet | None = None
    elsewhere: tuple[WeightOfUnits, ...] = ()

    def networks(self, agent: Agent) -> list[Network]:
        """The networks whose weights the units own.

        Args:
            agent: The agent.

        Returns:
            Its networks of this group's roles.
        """
        return [network for network in agent.networks if network.role in self.roles]

    def kept_weights(self, units: Sequence[Tensor]) -> dict[str, Tensor]:
        """Masks of the weights whose units are there, and of those that read them.

        Args:
            units: (size,) boolean of each layer, true = there.

        Returns:
            Weight name → boolean mask of the weight's shape.
        """
        kept = self.graph.kept_weights(units)
        for weight in self.elsewhere:
            kept[weight.name] = self.graph.columns(weight, units).cpu().expand(weight.shape)
        return kept


def unit_groups(agent: Agent) -> list[UnitGroup]:
    """Find the units of every network of an agent.

    Units of stacks of layers, of IMPALA encoders and of an OFENet are known; those of other
    encoders are found by tracing (:func:`~offline_prune.agents.traced_units.traced_units`).

    Args:
        agent: The agent.

    Returns:
        The groups; no weight is in two of them.

    Raises:
        AlgorithmError: If the units of a network cannot be told apart, or it has to be
            traced and Torch-Pruning is missing.
    """
    if is_sequence_model(agent.algo):
        raise AlgorithmError(
            f"The units of {type(agent.algo).__name__} cannot leave one by one: every layer of a"
            " transformer reads and adds to the same stream, and attention splits it by heads."
            " Use a method that prunes single weights, such as snip, or gmp while training."
        )
    role_of = {n: net.role for net in agent.networks for n in net.weights}
    targets = {chain.weight_names[0]: chain for chain in agent.target_chains}
    parts = [_of_chain(chain, targets.get(chain.weight_names[0])) for chain in agent.chains]
    stacked = {name for chain in agent.chains for name in chain.weight_names}
    parts += [Units(s.graph) for s in agent.separable if s.layers[0].name not in stacked]
    covered = {weight.name for part in parts for weight in part.graph.weights}
    names = {id(w): n for n, w in agent.weights.items()}
    for module in agent.host.modules.values():
        own = {names[id(p)] for p in module.parameters() if id(p) in names}
        if own and not own & covered:
            parts.append(agent.host.units(module, names))
            covered |= own
    groups = []
    for members in _sharing_roles(parts, role_of):
        readers: list[Reader] = []
        first = 0
        for units in members:
            readers += [replace(r, layer=r.layer + first) for r in units.readers]
            first += len(units.graph.layers)
        known = readers if all(u.readers or not u.graph.layers for u in members) else []
        graph = merge_units(units.graph for units in members)
        roles = dict.fromkeys(role_of[weight.name] for weight in graph.weights)
        groups.append(UnitGroup(graph, tuple(roles), tuple(known)))
    ofenet = agent.host.ofenet
    if ofenet is not None:
        elsewhere = feature_readers(agent, ofenet)
        features = feature_units(ofenet)
        groups.append(UnitGroup(features, ("features",), ofenet=ofenet, elsewhere=elsewhere))
    return groups


def _of_chain(chain: Chain, target: Chain | None) -> Units:
    twins = (chain,) if target is None else (chain, target)
    return Units(chain_units(chain), tuple(r for twin in twins for r in chain_readers(twin)))


def _sharing_roles(parts: list[Units], role_of: Mapping[str, str]) -> list[list[Units]]:
    """Parts grouped so that the weights of a role are in one group."""
    groups: list[tuple[set[str], list[Units]]] = []
    for part in parts:
        roles = {role_of[weight.name] for weight in part.graph.weights}
        members = [part]
        for other in [g for g in groups if g[0] & roles]:
            groups.remove(other)
            roles, members = roles | other[0], other[1] + members
        groups.append((roles, members))
    return [members for _, members in groups]
