"""Units of an OFENet, and who else reads them."""

from __future__ import annotations

from offline_prune.agents.agent import Agent
from offline_prune.agents.units import Segment, UnitGraph, UnitLayer, WeightOfUnits
from offline_prune.ofenet import DenseBlock, OFENet, OFENetReader

__all__ = ["feature_blocks", "feature_readers", "feature_units"]


def feature_blocks(ofenet: OFENet) -> dict[str, list[DenseBlock]]:
    """The blocks of the branches of an OFENet, φ first.

    Args:
        ofenet: The network.

    Returns:
        ``"state_branch"`` and ``"state_action_branch"`` → blocks, in order.
    """
    branches = {n: getattr(ofenet, n) for n in ("state_branch", "state_action_branch")}
    return {name: list(net.blocks) for name, net in branches.items() if net is not None}


def feature_units(ofenet: OFENet) -> UnitGraph:
    """Units of an OFENet: those of every block of both branches.

    Block l of φ reads the state and all blocks before it; ψ's blocks read those, the
    action and ψ's own blocks before; the prediction reads everything.

    Args:
        ofenet: The network, with both branches.

    Returns:
        The units, φ's blocks first. Weights have the names that the agent's
        ``"features"`` network gives them.
    """
    n_actions = int(ofenet.sizes["action_size"])
    seen = [Segment(None, int(ofenet.sizes["observation_size"]))]
    layers: list[UnitLayer] = []
    weights: list[WeightOfUnits] = []
    for branch, blocks in feature_blocks(ofenet).items():
        if branch == "state_action_branch":
            seen.append(Segment(None, n_actions))
        for number, block in enumerate(blocks):
            name = f"ofenet.{branch}.blocks.{number}.linear.weight"
            shape = tuple(block.linear.weight.shape)
            weights.append(WeightOfUnits(name, shape, len(layers), tuple(seen)))
            seen.append(Segment(len(layers), shape[0]))
            layers.append(UnitLayer(name, shape[0]))
    assert ofenet.prediction is not None
    shape = tuple(ofenet.prediction.weight.shape)
    weights.append(WeightOfUnits("ofenet.prediction.weight", shape, None, tuple(seen)))
    return UnitGraph(tuple(layers), tuple(weights))


def feature_readers(agent: Agent, ofenet: OFENet) -> tuple[WeightOfUnits, ...]:
    """The weights of actor, critics and value that read features.

    Args:
        agent: The agent.
        ofenet: Its OFENet.

    Returns:
        The first weight of every network on top of features; its columns are the
        features, in the order of :func:`feature_units`. Its rows are nobody's here.
    """
    graph = feature_units(ofenet)
    everything = graph.weights[-1].segments
    n_state = 1 + len(ofenet.state_branch.blocks)
    found = []
    for chain in agent.chains:
        encoders = [getattr(owner, "_encoder", None) for owner in chain.owners]
        if not any(isinstance(encoder, OFENetReader) for encoder in encoders):
            continue
        for layer in chain.stages[0].layers:
            shape = tuple(layer.module.weight.shape)
            reads_actions = shape[1] == sum(s.columns for s in everything)
            segments = everything if reads_actions else everything[:n_state]
            found.append(WeightOfUnits(layer.name, shape, None, segments))
    return tuple(found)
