"""In which form a pruned network is trained by the compact engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from offline_prune.agents.agent import Agent
from offline_prune.agents.stacks import Stack
from offline_prune.agents.topology import Chain, Layer
from offline_prune.engines.optimizers import find_optimizers
from offline_prune.engines.sparse_mlp import kernels_available

__all__ = ["Form", "Kernels", "Wired", "choose_form", "wired_networks"]

Kernels = Literal["auto", "dense", "sparse"]
Form = Literal["masked", "dense", "sparse"]

Part = TypeVar("Part", Chain, Stack)

_SPARSE_BELOW = 0.5
"""Density of the live network under which the sparse kernels are the faster ones.

At every width from 64 to 1024; see ``benchmarks/results/kernels.md``.
"""


@dataclass(frozen=True)
class Wired:
    """A network whose wiring is known, and its target.

    Attributes:
        chain: Its units; None where it is not known which are dead.
        target_chain: The same of the target; None without.
        stack: Its steps; None where the sparse kernels do not know them.
        target_stack: The same of the target; None without.
        has_target: Whether there is a target.
    """

    chain: Chain | None
    target_chain: Chain | None
    stack: Stack | None
    target_stack: Stack | None
    has_target: bool

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its linear layers and convolutions."""
        found = self.stack or self.chain
        assert found is not None
        return found.layers

    @property
    def owners(self) -> Iterator[nn.Module]:
        """The modules that hold it and its target."""
        for chain in (self.chain, self.target_chain):
            yield from () if chain is None else chain.owners
        yield from (stack.owner for stack in (self.stack, self.target_stack) if stack is not None)


def wired_networks(agent: Agent) -> list[Wired]:
    """The networks that may be trained in another form than their own.

    Args:
        agent: The agent.

    Returns:
        One for every encoder with its heads.
    """
    chains, target_chains = _by_first_layer(agent.chains), _by_first_layer(agent.target_chains)
    stacks, target_stacks = _by_first_layer(agent.stacks), _by_first_layer(agent.target_stacks)
    return [
        Wired(
            chain=chains.get(name),
            target_chain=target_chains.get(name),
            stack=stacks.get(name),
            target_stack=target_stacks.get(name),
            has_target=name in agent.targets,
        )
        for name in dict.fromkeys((*chains, *stacks))
    ]


def _by_first_layer(parts: Iterable[Part]) -> dict[str, Part]:
    return {part.layers[0].name: part for part in parts}


def choose_form(
    network: Wired,
    live: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
    algo: Any,
    kernels: Kernels,
) -> Form:
    """Choose how a network is trained.

    The choice depends on shapes, masks and the device, never on a clock: the same run
    gives the same weights.

    Args:
        network: How it is wired.
        live: Weight name → (out,) boolean, true = alive; all units of other layers are.
        kept: Weight name → boolean mask of the weights that are held.
        algo: The d3rlpy algorithm.
        kernels: ``"dense"``, ``"sparse"`` wherever it fits, or ``"auto"``.

    Returns:
        ``"masked"``: the original layers, because nothing is dead, constants do not
        fold, or CUDA graphs hold on to the tensors they were captured with;
        ``"dense"``: dense layers of the live size; ``"sparse"``: kept weights only.
    """
    if algo.compiled or all(bool(kept[layer.name].all()) for layer in network.layers):
        return "masked"
    if kernels != "dense" and _fits_sparse(network) and _one_group(network, algo):
        n_kept = sum(int(kept[layer.name].sum()) for layer in network.layers)
        if kernels == "sparse" or n_kept < _SPARSE_BELOW * _live_size(network, live):
            return "sparse"
    dead = any(not bool(live[layer.name].all()) for layer in network.layers if layer.name in live)
    return "dense" if dead and network.chain is not None else "masked"


def _fits_sparse(network: Wired) -> bool:
    """Whether a network, and its target, is one that the kernels can run."""
    stack, target = network.stack, network.target_stack
    if not kernels_available() or stack is None:
        return False
    if network.has_target and (
        target is None
        or [layer.name for layer in target.layers] != [layer.name for layer in stack.layers]
    ):
        return False  # the two must have parameters of the same shape
    return all(p.device.type == "cpu" and p.dtype == torch.float32 for p in stack.parameters)


def _one_group(network: Wired, algo: Any) -> bool:
    """Whether one optimizer steps all parameters with one learning rate and decay."""
    assert network.stack is not None
    parameters = {id(p) for p in network.stack.parameters}
    groups = (
        {id(p) for p in group["params"]}
        for wrapper in find_optimizers(algo)
        for group in wrapper.optim.param_groups
    )
    return all(parameters <= group or not parameters & group for group in groups)


def _live_size(network: Wired, live: Mapping[str, Tensor]) -> int:
    """Weights of the dense layers that are left when dead units are out."""
    if network.chain is None or not network.chain.constant_units_fold:
        return sum(layer.module.weight.numel() for layer in network.layers)
    size, columns = 0, network.layers[0].module.weight.shape[1]
    for stage in network.chain.stages:
        units = sum(int(live[layer.name].sum()) for layer in stage.layers)
        size += units * columns
        columns = units
    return size
