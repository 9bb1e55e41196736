"""The compact engine: d3rlpy trains networks of the size that is still alive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from offline_prune.agents.agent import Agent
from offline_prune.agents.host import Change
from offline_prune.engines.engine import Engine
from offline_prune.engines.forms import Kernels, by_role, choices, stepped_alike
from offline_prune.engines.optimizers import SwappedOptimizer
from offline_prune.engines.replacement import Surgery
from offline_prune.engines.sparse_mlp import kernels_available
from offline_prune.engines.state_dicts import OriginalStateDict, tensor_names
from offline_prune.engines.zeros import impose, pruned_entries, zero
from offline_prune.errors import EngineError
from offline_prune.masks.live import live_units
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization

__all__ = ["CompactEngine"]


class CompactEngine(Engine):
    """Replace networks by small ones that compute the same, while d3rlpy trains.

    ``attach`` takes dead units out of every layer of the networks, of their targets
    and of the optimizers. What is left is trained in one of two forms:

    - dense layers of the live size, in which a gradient hook holds the pruned entries at
      zero; any activation, convolutions, batch normalisation, any device;
    - a :class:`~offline_prune.engines.sparse_mlp.SparseMLP`, which holds kept weights
      only; linear layers with ReLU on the CPU, if numba is installed.

    The modules that d3rlpy calls, the optimizers and the losses are d3rlpy's own, and
    the trajectory is the masked engine's up to rounding. State dicts, and with them
    every file that d3rlpy writes, have the original shapes all the time. Meanwhile
    ``agent.weights`` are the values at that time: ``weights()`` has the current ones, and
    ``detach`` writes them back.

    Detach before parameters are copied between agents (``copy_policy_from``): the shapes
    differ. A network that fits neither form (:func:`~offline_prune.engines.forms.choose_form`),
    or whose wiring is not known, is held as by the masked engine.

    Examples:
        >>> from offline_prune import CompactEngine, score
        >>> scored = score("pendulum/mixture-v0", "bc", 0.95)
        >>> engine = CompactEngine(scored.agent)
        >>> engine.attach(scored.mask)
        >>> engine.verify()  # every pruned weight is zero
        >>> engine.detach()  # original shapes again, zeros included
    """

    def __init__(
        self,
        agent: Agent,
        kernels: Kernels = "auto",
        *,
        keep_units: bool = False,
        parameterization: Parameterization = STANDARD,
    ) -> None:
        """Prepare an engine; nothing changes before ``attach``.

        Args:
            agent: The agent to hold.
            kernels: ``"dense"``; ``"sparse"`` wherever it fits; ``"auto"`` where it is
                also the faster one.
            keep_units: Whether units that lost their inputs or their readers stay, with
                all their kept weights, because a later mask may connect them again: the
                nominal mask is held.
            parameterization: How far the optimizers step in layers that lose weights.

        Raises:
            EngineError: If sparse kernels are asked for and numba is not installed.
        """
        if kernels == "sparse" and not kernels_available():
            raise EngineError(
                'The sparse kernels need numba: pip install "offline-prune[fast]", or'
                ' take engine="compact", which trains dense layers of the live size.'
            )
        super().__init__(agent, parameterization)
        self._kernels = kernels
        self._keep_units = keep_units
        self._surgery = Surgery()

    def _hold(self, mask: Mask) -> list[Change]:
        agent = self._agent
        if self._keep_units:
            kept = mask.nominal
            zero(agent, pruned_entries(agent, kept))
            live = {n: torch.ones(len(m), dtype=torch.bool) for n, m in kept.items()}
        else:
            impose(agent, mask)
            kept = mask.connected
            live = live_units(agent.chains, kept, agent.separable)
        pruned = pruned_entries(agent, kept)
        chosen = choices(agent, live, kept, self._kernels)
        self._forms = by_role(agent, chosen)
        owners = {
            id(owner): (owner, tensor_names(owner), list(owner.state_dict()))
            for network, _ in chosen
            for owner in network.owners
        }
        apart = [
            network.stack is not None and not stepped_alike(network.stack, agent.host)
            for network, _ in chosen
        ]
        for (network, choice), is_apart in zip(chosen, apart, strict=True):
            twins = (
                (network.stack, network.separable, True),
                (network.target_stack, network.target_separable, False),
            )
            for stack, separable, trained in twins:
                if choice.form == "sparse" and stack is not None:
                    self._surgery.make_sparse(stack, live, kept, trained=trained, apart=is_apart)
                elif choice.form == "dense" and separable is not None:
                    self._surgery.shrink(separable, live, trained=trained)
        replacements = self._surgery.replacements
        optimizers = []
        if replacements:
            for owner, names, keys in owners.values():
                hooked = OriginalStateDict(owner, names, keys, replacements)
                self._handles.extend(hooked.handles)
            wrappers = agent.host.optimizers()
            optimizers = [SwappedOptimizer(wrapper, replacements) for wrapper in wrappers]
        self._keep_small(pruned)
        self._lengthen_steps(mask, kept, replacements)
        return [*optimizers, self._surgery]

    def _in_place(self) -> Iterable[Tensor]:
        return (*super()._in_place(), *(r.small for r in self._surgery.replacements))

    def _current(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        expanded = {
            id(original): value
            for r in self._surgery.replacements
            for original, value in zip(r.packing.originals, r.expanded(), strict=True)
        }
        return {n: expanded.get(id(p), p.detach()) for n, p in parameters.items()}

    def _keep_small(self, pruned: Mapping[str, Tensor]) -> None:
        """Keep the pruned entries of every dense parameter, small or not, and of its twin."""
        weights, targets = self._agent.weights, self._agent.targets
        small = {
            id(r.packing.originals[0]): r
            for r in self._surgery.replacements
            if len(r.packing.originals) == 1
        }
        packed = {id(o) for r in self._surgery.replacements for o in r.packing.originals}
        for name, entries in pruned.items():
            for original in (weights[name], targets.get(name)):
                if original is None:
                    continue
                if replacement := small.get(id(original)):
                    parameter = replacement.small
                    assert isinstance(parameter, nn.Parameter)
                    inside = replacement.packing.pack([entries])
                elif id(original) in packed:
                    continue  # in a sparse form there are no pruned entries
                else:
                    parameter, inside = original, entries
                if bool(inside.any()):
                    self._keep(name, parameter, inside, is_target=original is not weights[name])
