"""In which form a pruned network is trained by the compact engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from offline_prune.agents.agent import Agent
from offline_prune.agents.host import Host
from offline_prune.agents.separable import Separable
from offline_prune.agents.stacks import Stack, why_no_stack
from offline_prune.agents.topology import Layer
from offline_prune.engines.sparse_mlp import kernels_available

__all__ = [
    "Choice",
    "Form",
    "Kernels",
    "Wired",
    "by_role",
    "choices",
    "choose_form",
    "wired_networks",
]

Kernels = Literal["auto", "dense", "sparse"]
Form = Literal["masked", "dense", "sparse"]

Part = TypeVar("Part", Separable, Stack)

_SPARSE_BELOW = 0.5
"""Density of the live network under which the sparse kernels are the faster ones.

At every width from 64 to 1024; see ``benchmarks/results/kernels.md``.
"""

_SMALL, _SPARSE_BELOW_IF_SMALL = 2**15, 0.75
"""Live weights up to which they are so at a higher density: at widths up to 128 there."""


@dataclass(frozen=True)
class Wired:
    """A network whose wiring is known, and its target.

    Attributes:
        separable: Its units; None where none of them may leave, one reading all others.
        target_separable: The same of the target; None without.
        stack: Its steps; None where the sparse kernels do not know them.
        target_stack: The same of the target; None without.
        has_target: Whether there is a target.
    """

    separable: Separable | None
    target_separable: Separable | None
    stack: Stack | None
    target_stack: Stack | None
    has_target: bool

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its linear layers and convolutions."""
        found = self.stack or self.separable
        assert found is not None
        return found.layers

    @property
    def owners(self) -> Iterator[nn.Module]:
        """The modules that hold it and its target."""
        for separable in (self.separable, self.target_separable):
            yield from () if separable is None else separable.owners
        yield from (stack.owner for stack in (self.stack, self.target_stack) if stack is not None)


def wired_networks(agent: Agent) -> list[Wired]:
    """The networks that may be trained in another form than their own.

    Args:
        agent: The agent.

    Returns:
        One for every encoder with its heads.
    """
    online, targets = _by_first_layer(agent.separable), _by_first_layer(agent.target_separable)
    stacks, target_stacks = _by_first_layer(agent.stacks), _by_first_layer(agent.target_stacks)
    return [
        Wired(
            separable=online.get(name),
            target_separable=targets.get(name),
            stack=stacks.get(name),
            target_stack=target_stacks.get(name),
            has_target=name in agent.targets,
        )
        for name in dict.fromkeys((*online, *stacks))
    ]


def _by_first_layer(parts: Iterable[Part]) -> dict[str, Part]:
    return {part.layers[0].name: part for part in parts}


@dataclass(frozen=True)
class Choice:
    """How a network is trained, and why not faster.

    Attributes:
        form: ``"masked"``: the original layers; ``"dense"``: dense layers of the live size;
            ``"sparse"``: kept weights only.
        reason: Why no faster form fits, a clause; empty where there is none.
    """

    form: Form
    reason: str = ""

    def __str__(self) -> str:
        """One line."""
        return f"{self.form}: {self.reason}" if self.reason else self.form


def choose_form(
    network: Wired,
    live: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
    agent: Agent,
    kernels: Kernels,
) -> Choice:
    """Choose how a network is trained.

    The choice depends on shapes, masks and the device, never on a clock: the same run
    gives the same weights.

    Args:
        network: How it is wired.
        live: Weight name → (out,) boolean, true = alive; all units of other layers are.
        kept: Weight name → boolean mask of the weights that are held.
        agent: The agent it belongs to.
        kernels: ``"dense"``, ``"sparse"`` wherever it fits, or ``"auto"``.

    Returns:
        The form, and why no faster one.
    """
    if all(bool(kept[layer.name].all()) for layer in network.layers):
        return Choice("masked", "nothing of it is pruned")
    if agent.host.is_captured:
        return Choice("masked", "CUDA graphs hold on to the tensors they were captured with")
    reason = "dense layers were asked for" if kernels == "dense" else _misfit(network, agent)
    if not reason:
        n_kept = sum(int(kept[layer.name].sum()) for layer in network.layers)
        size = _live_size(network, live)
        bound = _SPARSE_BELOW_IF_SMALL if size <= _SMALL else _SPARSE_BELOW
        if kernels == "sparse" or n_kept < bound * size:
            return Choice("sparse")
        reason = f"{bound:.0%} of what is alive or more is kept"
    if network.separable is None:
        return Choice("masked", f"{reason}, and each of its units changes all others")
    if not network.separable.graph.layers:
        return Choice("masked", f"{reason}, and dropout draws numbers for all of its units")
    if any(not bool(units.all()) for units in network.separable.units(live)):
        return Choice("dense", reason)
    return Choice("masked", f"{reason}, and none of its units is dead")


def choices(
    agent: Agent,
    live: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
    kernels: Kernels,
) -> list[tuple[Wired, Choice]]:
    """The wired networks of an agent and how each is trained.

    Args:
        agent: The agent.
        live: As in :func:`choose_form`.
        kept: As there.
        kernels: As there.

    Returns:
        A pair a network.
    """
    return [(n, choose_form(n, live, kept, agent, kernels)) for n in wired_networks(agent)]


def by_role(agent: Agent, found: Iterable[tuple[Wired, Choice]]) -> dict[str, Choice]:
    """How each network of an agent is trained, also those whose wiring is not known.

    Args:
        agent: The agent, in its original layers.
        found: What :func:`choices` says.

    Returns:
        Role → choice; of a network with several encoders the slowest form.
    """
    order = ("masked", "dense", "sparse")
    of_weight = {layer.name: choice for wired, choice in found for layer in wired.layers}
    roles = {}
    for network in agent.networks:
        slowest = Choice("sparse")
        for name in network.weights:
            choice = of_weight.get(name) or Choice("masked", _why_no_stack(agent, name))
            if order.index(choice.form) < order.index(slowest.form):
                slowest = choice
            if slowest.form == "masked":
                break  # nothing is slower, and a reason takes a walk over all modules
        roles[network.role] = slowest
    return roles


def _why_no_stack(agent: Agent, weight: str) -> str:
    names = {id(parameter): name for name, parameter in agent.weights.items()}
    return why_no_stack(agent.host.modules.values(), names, weight)


def _misfit(network: Wired, agent: Agent) -> str:
    """Why the sparse kernels cannot run a network and its target; empty if they can."""
    stack, target = network.stack, network.target_stack
    if not kernels_available():
        return 'numba is not installed (pip install "offline-prune[fast]")'
    if stack is None:
        return _why_no_stack(agent, network.layers[0].name)
    names = [layer.name for layer in stack.layers]
    if network.has_target and (target is None or [layer.name for layer in target.layers] != names):
        return "its target is another kind of network"
    for parameter in stack.parameters:
        if parameter.device.type != "cpu" or parameter.dtype != torch.float32:
            return (
                f"the sparse kernels train float32 on the CPU, not {parameter.dtype}".replace(
                    "torch.", ""
                )
                + f" on {parameter.device.type}"
            )
    if not _one_group(network, agent.host):
        return "its optimizer steps some of its parameters otherwise than others"
    return ""


def _one_group(network: Wired, host: Host) -> bool:
    """Whether one optimizer steps all parameters with one learning rate and decay."""
    assert network.stack is not None
    parameters = {id(p) for p in network.stack.parameters}
    groups = (
        {id(p) for p in group["params"]}
        for wrapper in host.optimizers()
        for group in wrapper.optim.param_groups
    )
    return all(parameters <= group or not parameters & group for group in groups)


def _live_size(network: Wired, live: Mapping[str, Tensor]) -> int:
    """Weights of the dense layers that are left when dead units are out."""
    if network.separable is None:
        return sum(layer.module.weight.numel() for layer in network.layers)
    graph = network.separable.graph
    units = [there.double() for there in network.separable.units(live)]
    return round(float(graph.expected_weights(units)))
