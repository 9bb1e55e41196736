"""Bernoulli gates: which units stay is learned together with the weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.agent import Agent
from offline_prune.agents.feature_units import feature_blocks
from offline_prune.agents.unit_groups import UnitGroup
from offline_prune.agents.units import UnitGraph
from offline_prune.data import Dataset
from offline_prune.engines import FollowingEngine
from offline_prune.engines.optimizers import is_moment
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.masks.mask import Mask
from offline_prune.masks.schedules import update_interval
from offline_prune.masks.unit_choice import choose_units
from offline_prune.methods.gates.budget import step_probabilities
from offline_prune.methods.gates.layer import GatedLayer
from offline_prune.methods.gradual import GradualUnitPruning
from offline_prune.methods.method import PruningSettings
from offline_prune.ofenet import DenseBlock

__all__ = ["BernoulliGates"]


@dataclass
class _Group:
    """Networks whose units are paid for from one budget.

    Attributes:
        units: Their units.
        layers: The gates of each unit layer.
        sparsity: Of the weights of all of them, at the end.
        blocks: The blocks of an OFENet, one a unit layer.
        momentum: Running mean of the gradient of θ.
        received: Estimates since the last step of θ, and how many.
        multiplier: ν of the last step.
    """

    units: UnitGroup
    layers: list[GatedLayer]
    sparsity: float
    blocks: list[DenseBlock] = field(default_factory=list)
    momentum: list[Tensor] = field(default_factory=list)
    received: list[Tensor] = field(default_factory=list)
    n_received: int = 0
    multiplier: float = 0.0

    @property
    def graph(self) -> UnitGraph:
        return self.units.graph

    @property
    def probabilities(self) -> list[Tensor]:
        return [layer.probability.detach() for layer in self.layers]

    @property
    def alive(self) -> list[Tensor]:
        return [layer.alive for layer in self.layers]

    def put_gates(self) -> None:
        for reader in self.units.readers:
            self.layers[reader.layer].read_by(reader.module, reader.repeat)
        for layer, block in zip(self.layers, self.blocks, strict=False):
            layer.put_out_by(block.gate)

    @torch.no_grad()
    def move_into_readers(self, agent: Agent) -> None:
        """Move θ into the weights that read the units: the expected network, unchanged."""
        for weight in (*self.graph.weights, *self.units.elsewhere):
            for tensor in (agent.weights[weight.name], agent.targets.get(weight.name)):
                if tensor is not None:
                    columns = self.graph.columns(weight, self.probabilities)
                    tensor.mul_(columns.reshape(1, -1, *[1] * (tensor.dim() - 2)))

    @torch.no_grad()
    def silence(self, units: list[Tensor], optimizers: Iterable[Any]) -> None:
        """Make an OFENet's lost units put out 0 for good: swish of a norm scaled by 0."""
        for block, there in zip(self.blocks, units, strict=False):
            for parameter in block.norm.parameters():
                states = [wrapper.optim.state.get(parameter, {}) for wrapper in optimizers]
                moments = [m for s in states for m in s.values() if is_moment(m, parameter)]
                for tensor in (parameter, *moments):
                    tensor[~there] = 0.0


class BernoulliGates(GradualUnitPruning):
    """Put a 0/1 gate on every hidden unit and learn the gates' probabilities.

    Weights and probabilities are trained together on ``E_ξ[L(W, ξ)]``, ξ_j ~ Bernoulli(θ_j)
    (:func:`~offline_prune.methods.gates.bernoulli.bernoulli_gate`): θ by d3rlpy's own backward
    passes, on its own projected steps
    (:func:`~offline_prune.methods.gates.budget.step_probabilities`). What a unit costs is the exact
    derivative of the expected number of weights, ν·∂P/∂θ_j. The coefficient ν is at every
    step the one with which the expected number of weights follows the cubic schedule down
    to the sparsity asked for. With a given ``cost`` ν is no higher than that, and less may
    be pruned.

    θ stays 1 until ``begin``. A unit whose θ falls under ``tolerance`` is gone for good;
    the compact engine takes it out while training goes on. At ``end`` the likeliest units
    within the budget stay, each one's θ moves into the weights that read it, and a
    deterministic network trains on.

    Units leave whole: the mask keeps at most ``round(N · (1 − s))`` weights a network, not
    exactly as many. Networks that share an encoder share its gates and their budgets.

    References:
        Guenter, Sideris 2025, arXiv 2507.11975, whose constants are not public; schedule,
        estimator and the search for ν are this package's own.
    """

    def __init__(
        self,
        settings: PruningSettings,
        cost: float | None = None,
        begin: float = 0.2,
        end: float = 0.8,
        tolerance: float = 0.01,
        learning_rate: float | None = None,
        interval: int = 10,
    ) -> None:
        """Prepare.

        Args:
            settings: Sparsities and length of the run.
            cost: The most that ν may be, loss a weight; None to let the sparsity asked for
                decide.
            begin: When θ begins to move, as a fraction of the run.
            end: When the gates are decided.
            tolerance: θ under which a unit is gone for good.
            learning_rate: η of θ's steps, whose gradient has a root mean square of 1;
                None for 10 over the number of steps, at most .1.
            interval: Gradient steps between two of θ.

        Raises:
            InputError: If a number is out of range, or ``refill`` is asked for.
        """
        super().__init__(settings, begin, end)
        if not 0.0 < tolerance < 0.5 or (cost is not None and cost < 0.0):
            raise InputError(
                f"tolerance is a probability in (0, .5) and cost at least 0, not {tolerance!r}"
                f" and {cost!r}."
            )
        self.cost, self.tolerance = cost, tolerance
        self.interval = update_interval(settings.n_steps, interval, interval)
        n_updates = max(1, (self.end - self.begin) // self.interval)
        self.learning_rate = learning_rate or min(0.1, 10.0 / n_updates)
        self._groups: list[_Group] = []
        self._handles: list[RemovableHandle] = []

    @property
    def probabilities(self) -> dict[str, Tensor]:
        """Weight name → θ of the units that are its rows, (units,), on the CPU."""
        return {
            unit_layer.name: layer.probability.detach().cpu().clone()
            for group in self._groups
            for unit_layer, layer in zip(group.graph.layers, group.layers, strict=True)
        }

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Keep everything.

        Raises:
            AlgorithmError: If it is not known which units a network's weights belong to.
        """
        self._groups = self._find_groups(agent)
        return super().before_training(agent, data)

    def initialise(self, agent: Agent, mask: Mask) -> None:
        """Put the gates between units and who reads them."""
        for group in self._groups:
            group.put_gates()
        stepped = {
            id(parameter): wrapper.optim
            for wrapper in agent.host.optimizers()
            for param_group in wrapper.optim.param_groups
            for parameter in param_group["params"]
        }
        for optimizer in dict.fromkeys(stepped.values()):
            own = [
                (group, number)
                for group in self._groups
                for number, unit_layer in enumerate(group.graph.layers)
                if stepped.get(id(agent.weights[unit_layer.name])) is optimizer
            ]
            if own:
                hook = self._receive(own)
                self._handles.append(optimizer.register_step_pre_hook(hook))

    def after_step(self, agent: Agent, engine: FollowingEngine, step: int) -> Mask | None:
        """Move θ, if it is time; take dead units out, now and then; decide, at the end."""
        if not self._handles or step < self.begin:
            return None
        is_due = self.is_due(step)
        if self.is_over:
            return self._decide(agent, engine)
        if step % self.interval == 0:
            for group in self._groups:
                self._step(group, step)
        return self._prune(agent) if is_due else None

    def release(self, agent: Agent) -> None:
        """Take the gates away."""
        for handle in self._handles:
            handle.remove()
        for group in self._groups:
            for layer in group.layers:
                layer.remove()
        self._handles.clear()

    def finish(self, agent: Agent, engine: FollowingEngine) -> Mask:
        """The final mask; decided now if training stopped before ``end``."""
        if self._handles:
            engine.update(self._decide(agent, engine))
        return super().finish(agent, engine)

    def _find_groups(self, agent: Agent) -> list[_Group]:
        generator = torch.Generator().manual_seed(self.settings.seed)
        groups = []
        for found, sparsity in self.groups_to_prune(agent):
            if found.graph.layers and not found.readers and found.ofenet is None:
                raise AlgorithmError(
                    f"It is not known where the units of {', '.join(found.roles)} are read:"
                    " gates take stacks of layers (vectors, Nature's convolutions) and OFENet. Use"
                    " 'structured', or 'gmp'."
                )
            device = agent.weights[found.graph.layers[0].name].device
            layers = [GatedLayer(units.size, device, generator) for units in found.graph.layers]
            blocks: list[DenseBlock] = []
            if found.ofenet is not None:
                blocks = [b for own in feature_blocks(found.ofenet).values() for b in own]
            groups.append(_Group(found, layers, sparsity, blocks))
        return groups

    def _receive(self, own: list[tuple[_Group, int]]) -> Any:
        """Take the estimates of an optimizer's own networks; drop those of others.

        The loss of an actor runs through its critics' gates too, whose θ it must not move.
        """

        def receive(*_: Any) -> None:
            for group, number in own:
                gradient = group.layers[number].probability.grad
                if gradient is not None:
                    if not group.received:
                        group.received = [torch.zeros_like(p) for p in group.probabilities]
                    group.received[number] += gradient
                    group.n_received += number == 0
            for group in self._groups:
                for layer in group.layers:
                    layer.probability.grad = None

        return receive

    def _step(self, group: _Group, step: int) -> None:
        if not group.n_received:
            return
        mean = [total / group.n_received for total in group.received]
        old = group.momentum or mean
        group.momentum = [0.9 * m + 0.1 * g for m, g in zip(old, mean, strict=True)]
        group.received, group.n_received = [], 0
        found, group.multiplier = step_probabilities(
            group.graph,
            group.probabilities,
            group.momentum,
            group.alive,
            self.learning_rate,
            budget=self.budget(group.units, group.sparsity, step),
            cost=self.cost,
        )
        with torch.no_grad():
            for layer, probability in zip(group.layers, found, strict=True):
                layer.probability.copy_(probability)

    def _prune(self, agent: Agent) -> Mask | None:
        """Let units go whose probability is next to nothing; the likeliest one stays."""
        changed = False
        for group in self._groups:
            for layer in group.layers:
                probability = layer.probability.detach()
                gone = layer.alive & (probability < self.tolerance)
                gone[probability.where(layer.alive, -1.0).argmax()] = False
                if gone.any():
                    changed = True
                    layer.alive = layer.alive & ~gone
                    probability[gone] = 0.0
        return self._masked(agent, [group.alive for group in self._groups]) if changed else None

    def _decide(self, agent: Agent, engine: FollowingEngine) -> Mask:
        """Keep the likeliest units within the budget, for certain."""
        chosen = [
            choose_units(
                group.graph,
                group.probabilities,
                group.alive,
                self.budget(group.units, group.sparsity, self.end)
                if self.cost is None
                else float(group.graph.expected_weights(group.probabilities)),
            )
            for group in self._groups
        ]
        self.release(agent)
        engine.detach()  # the whole weights, to move θ into them
        for group in self._groups:
            group.move_into_readers(agent)
        return self._masked(agent, chosen)

    def _masked(self, agent: Agent, units: Iterable[list[Tensor]]) -> Mask:
        optimizers = agent.host.optimizers()
        found = list(zip(self._groups, units, strict=True))
        for group, there in found:
            group.silence(there, optimizers)
        return self.keep_units(agent, [(group.units, there) for group, there in found])
