"""The compact engine: d3rlpy trains networks of the size that is still alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.agent import Agent
from offline_prune.engines.changes import Change, change
from offline_prune.engines.forms import Kernels, choose_form
from offline_prune.engines.optimizers import SwappedOptimizer, find_optimizers
from offline_prune.engines.replacement import Surgery
from offline_prune.engines.sparse_mlp import kernels_available
from offline_prune.engines.state_dicts import OriginalStateDict, parameter_names
from offline_prune.engines.step_factors import StepFactors
from offline_prune.engines.zeros import check_fits, hold_at_zero, impose, pruned_entries, zero
from offline_prune.errors import EngineError, MaskError
from offline_prune.masks.live import live_units
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization
from offline_prune.ofenet.sharing import find_ofenet

__all__ = ["CompactEngine"]


@dataclass(frozen=True)
class _Held:
    """A dense parameter with pruned entries inside; of a network or of its target."""

    name: str
    parameter: nn.Parameter
    pruned: Tensor
    is_trained: bool


class CompactEngine:
    """Replace networks by small ones that compute the same, while d3rlpy trains.

    :meth:`attach` takes dead units out of every layer of the networks, of their targets
    and of the optimizers. What is left is trained in one of two forms:

    - dense layers of the live size, in which a gradient hook holds the pruned entries at
      zero; any activation, convolutions, any device;
    - a :class:`~offline_prune.engines.sparse_mlp.SparseMLP`, which holds kept weights
      only; linear layers with ReLU on the CPU, if numba is installed.

    The modules that d3rlpy calls, the optimizers and the losses are d3rlpy's own, and
    the trajectory is the masked engine's up to rounding. State dicts, and with them
    every file that d3rlpy writes, have the original shapes all the time. Meanwhile
    ``agent.weights`` are the values at :meth:`attach`: :meth:`weights` has the current
    ones, and :meth:`detach` writes them back.

    Detach before parameters are copied between agents (``copy_policy_from``): the shapes
    differ. A network that fits neither form (:func:`~offline_prune.engines.forms.choose_form`),
    or whose wiring is not known, is held as by the masked engine.
    """

    def __init__(
        self,
        agent: Agent,
        kernels: Kernels = "auto",
        *,
        keep_units: bool = False,
        parameterization: Parameterization = STANDARD,
    ) -> None:
        """Prepare an engine; nothing changes before :meth:`attach`.

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
        self._agent = agent
        self._parameterization = parameterization
        self._steps = StepFactors()
        self._kernels = kernels
        self._keep_units = keep_units
        self._mask: Mask | None = None
        self._surgery = Surgery()
        self._optimizers: list[SwappedOptimizer] = []
        self._handles: list[RemovableHandle] = []
        self._held: list[_Held] = []
        self._changes: list[Change] = []

    @property
    def mask(self) -> Mask | None:
        """The mask being held; None while detached."""
        return self._mask

    def attach(self, mask: Mask) -> None:
        """Shrink the agent to what the mask keeps.

        Args:
            mask: A mask of this agent.

        Raises:
            MaskError: If the mask belongs to other networks or one is attached.
        """
        if self._mask is not None:
            raise MaskError("A mask is attached already: call update(mask) or detach().")
        agent = self._agent
        if self._keep_units:
            check_fits(agent, mask)
            kept = mask.nominal
            zero(agent, pruned_entries(agent, kept))
            live = {n: torch.ones(len(m), dtype=torch.bool) for n, m in kept.items()}
        else:
            impose(agent, mask)
            kept = mask.connected
            live = live_units(agent.chains, kept)
        pruned = pruned_entries(agent, kept)
        targets = {chain.weight_names[0]: chain for chain in agent.target_chains}
        owners = {
            id(owner): (owner, parameter_names(owner), list(owner.state_dict()))
            for chain in (*agent.chains, *agent.target_chains)
            for owner in chain.owners
        }
        for chain in agent.chains:
            target = targets.get(chain.weight_names[0])
            form = choose_form(chain, target, live, kept, agent.algo, self._kernels)
            twins = [(chain, True), *([(target, False)] if target else [])]
            for twin, trained in twins:
                if form == "sparse":
                    self._surgery.make_sparse(twin, live, kept, trained=trained)
                elif form == "dense":
                    self._surgery.shrink(twin, live, trained=trained)
        if self._surgery.replacements:
            for owner, names, keys in owners.values():
                hooked = OriginalStateDict(owner, names, keys, self._surgery.replacements)
                self._handles.extend(hooked.handles)
            self._optimizers = [
                SwappedOptimizer(wrapper, self._surgery.replacements)
                for wrapper in find_optimizers(agent.algo)
            ]
        self._hold(pruned)
        self._steps = StepFactors.of(
            agent.algo,
            agent.weights,
            self._parameterization.step_factors(kept, mask.roles),
            self._surgery.replacements,
        )
        self._changes = change(agent.algo)
        self._mask = mask

    def update(self, mask: Mask) -> None:
        """Hold another mask from now on.

        Args:
            mask: A mask of this agent. Weights that return start at zero.

        Raises:
            MaskError: If the mask belongs to other networks.
        """
        check_fits(self._agent, mask)
        self.detach()
        self.attach(mask)

    def detach(self) -> None:
        """Write what was trained into the original layers, and put those back."""
        for handle in self._handles:
            handle.remove()
        self._steps.undo()
        for made in (*self._optimizers, *self._changes):
            made.undo()
        self._surgery.undo()
        self._handles.clear()
        self._optimizers.clear()
        self._held.clear()
        self._changes.clear()
        self._mask = None

    def verify(self) -> None:
        """Check that the mask is being held.

        Raises:
            MaskError: If nothing is attached, the networks were replaced, a pruned
                entry of a dense layer is not zero, or its hook is gone.
        """
        if self._mask is None:
            raise MaskError("No mask is attached: call attach(mask) first.")
        modules = self._agent.algo.impl.modules.get_torch_modules().values()
        present = {id(p) for module in modules for p in module.parameters()}
        if (ofenet := find_ofenet(self._agent.algo)) is not None:
            present |= {id(p) for p in ofenet.parameters()}
        trained = [r.small for r in self._surgery.replacements]
        if any(id(p) not in present for p in (*trained, *(h.parameter for h in self._held))):
            raise MaskError(
                "The networks were built anew or replaced after the mask was attached."
                " Make a new Agent and attach its mask again."
            )
        for held in self._held:
            if held.is_trained and not held.parameter._post_accumulate_grad_hooks:
                raise MaskError(f"The hook of {held.name!r} is gone: attach the mask again.")
            if bool((held.parameter[held.pruned] != 0).any()):
                raise MaskError(
                    f"Pruned entries of {held.name!r} or its target are not zero: something"
                    " overwrote the weights after the mask was attached. Attach it again."
                )

    def weights(self) -> dict[str, Tensor]:
        """Weight name → its value now, of the original shape."""
        return self._current(self._agent.weights)

    def targets(self) -> dict[str, Tensor]:
        """Name of the online weight → value of its twin in the target network now."""
        return self._current(self._agent.targets)

    def _current(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        expanded = {
            id(original): value
            for r in self._surgery.replacements
            for original, value in zip(r.packing.originals, r.expanded(), strict=True)
        }
        return {n: expanded.get(id(p), p.detach()) for n, p in parameters.items()}

    def _hold(self, pruned: Mapping[str, Tensor]) -> None:
        """Hook every dense parameter that has pruned entries; note their twins too."""
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
                    inside = replacement.packing.pack([entries])
                elif id(original) in packed:
                    continue  # in a sparse form there are no pruned entries
                else:
                    parameter, inside = original, entries
                if bool(inside.any()):
                    is_trained = original is weights[name]
                    self._held.append(_Held(name, parameter, inside, is_trained))
                    if is_trained:
                        self._handles.append(hold_at_zero(parameter, inside))
