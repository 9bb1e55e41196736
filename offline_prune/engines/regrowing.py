"""Hold a mask whose pruned weights may come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.agent import Agent
from offline_prune.engines.changes import Change, change
from offline_prune.engines.optimizers import find_optimizers
from offline_prune.engines.step_factors import StepFactors
from offline_prune.engines.zeros import (
    check_fits,
    hold_at_zero,
    hook_gradient,
    pruned_entries,
    zero,
)
from offline_prune.errors import MaskError
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization

__all__ = ["RegrowingEngine", "Regrowth"]

Regrowth = Literal["never", "at_updates", "at_next_update", "any_step"]
"""What pruned weights may still do.

``"never"``: they are gone for good. ``"at_updates"``: a later mask may take them back,
starting from 0. ``"at_next_update"``: the next one may, and wants their gradients.
``"any_step"``: the optimizer goes on stepping them, and a later mask may take them back
with the value they got.
"""


class RegrowingEngine:
    """Hold the nominal mask in layers of the original shape; no unit is given up.

    Weights off every path from input to output are kept, unlike by the other engines: a
    unit that lost its inputs may get new ones. What is pruned is exactly 0.0 after every
    step, in the targets too. In between, every gradient is dense:

    - with regrowth ``"any_step"`` the optimizers step all weights and keep their moments;
      a hook on each optimizer then sets the pruned ones to zero before anything reads
      them. :meth:`unmasked` has what the last step had made of them.
    - otherwise the gradient is noted, then masked, as the masked engine does: optimizers
      leave the zeros alone. :meth:`gradients` has the last dense ones.
    """

    def __init__(self, agent: Agent, parameterization: Parameterization = STANDARD) -> None:
        """Prepare an engine; nothing changes before :meth:`attach`.

        Args:
            agent: The agent to hold.
            parameterization: How far the optimizers step.
        """
        self._agent = agent
        self._parameterization = parameterization
        self._steps = StepFactors()
        self._mask: Mask | None = None
        self._regrowth: Regrowth = "at_updates"
        self._pruned: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._gradients: dict[str, Tensor] = {}
        self._unmasked: dict[str, Tensor] = {}
        self._changes: list[Change] = []

    @property
    def mask(self) -> Mask | None:
        """The mask being held; None while detached."""
        return self._mask

    def attach(self, mask: Mask, regrowth: Regrowth = "at_updates") -> None:
        """Zero what the mask prunes and keep it zero after every step.

        Args:
            mask: A mask of this agent; its nominal part is held.
            regrowth: ``"any_step"``, or one that lets weights return at a mask alone.

        Raises:
            MaskError: If the mask belongs to other networks or one is attached.
        """
        if self._mask is not None:
            raise MaskError("A mask is attached already: call update(mask) or detach().")
        check_fits(self._agent, mask)
        self._regrowth = regrowth
        self._hold(mask)
        weights = self._agent.weights
        if regrowth == "any_step":
            # Hooks run in the order of registration: the longer step first, then the mask.
            self._lengthen_steps()
            for wrapper in find_optimizers(self._agent.algo):
                stepped = {id(p) for group in wrapper.optim.param_groups for p in group["params"]}
                named = {n: w for n, w in weights.items() if id(w) in stepped}
                if named:
                    hook = self._mask_after_step(named)
                    self._handles.append(wrapper.optim.register_step_post_hook(hook))
        else:
            for name, weight in weights.items():
                # Hooks run in the order of registration: noted first, then masked.
                hook = self._note_gradient(name)
                self._handles.append(hook_gradient(weight, hook))
                if name in self._pruned:
                    self._handles.append(hold_at_zero(weight, self._pruned[name]))
            self._lengthen_steps()
        self._changes = change(self._agent.algo)

    def update(self, mask: Mask) -> None:
        """Hold another mask from now on.

        Args:
            mask: A mask of this agent. Weights that return have the value of
                :meth:`unmasked` with regrowth ``"any_step"``, else 0.

        Raises:
            MaskError: If the mask belongs to other networks.
        """
        check_fits(self._agent, mask)
        if self._regrowth == "any_step":
            with torch.no_grad():
                for name, value in self.unmasked().items():
                    self._agent.weights[name].copy_(value)
        regrowth = self._regrowth
        self.detach()
        self.attach(mask, regrowth)

    def detach(self) -> None:
        """Let go: plain dense weights, the pruned ones exactly zero, no hooks left."""
        for handle in self._handles:
            handle.remove()
        self._steps.undo()
        for made in self._changes:
            made.undo()
        self._handles.clear()
        self._pruned, self._gradients, self._unmasked = {}, {}, {}
        self._changes.clear()
        self._mask = None

    def verify(self) -> None:
        """Check that the mask is being held.

        Raises:
            MaskError: If nothing is attached, the networks were built anew, or a pruned
                weight or its target's twin is not zero.
        """
        if self._mask is None:
            raise MaskError("No mask is attached: call attach(mask) first.")
        current = Agent.of(self._agent.algo).weights
        for name, pruned in self._pruned.items():
            weight = self._agent.weights[name]
            if current.get(name) is not weight:
                raise MaskError(
                    f"The networks were built anew: {name!r} is another tensor now."
                    " Make a new Agent and attach its mask again."
                )
            for tensor in (weight, self._agent.targets.get(name)):
                if tensor is not None and bool((tensor[pruned] != 0).any()):
                    raise MaskError(
                        f"Pruned entries of {name!r} or its target are not zero: something"
                        " overwrote the weights after the mask was attached. Attach it again."
                    )

    def weights(self) -> dict[str, Tensor]:
        """Weight name → its value now."""
        return {name: weight.detach() for name, weight in self._agent.weights.items()}

    def targets(self) -> dict[str, Tensor]:
        """Name of the online weight → value of its twin in the target network now."""
        return {name: weight.detach() for name, weight in self._agent.targets.items()}

    def unmasked(self) -> dict[str, Tensor]:
        """Weight name → what the last optimizer step made of it, before it was masked."""
        return {name: self._unmasked.get(name, w) for name, w in self.weights().items()}

    def gradients(self) -> dict[str, Tensor]:
        """Weight name → the last step's gradient, dense; empty before the first step."""
        return dict(self._gradients)

    def _hold(self, mask: Mask) -> None:
        """Zero what a mask prunes; moments too, unless the optimizer goes on with them."""
        self._pruned = pruned_entries(self._agent, mask.nominal)
        zero(self._agent, self._pruned, moments=self._regrowth != "any_step")
        self._unmasked.clear()
        self._mask = mask

    def _lengthen_steps(self) -> None:
        mask, weights = self._mask, self._agent.weights
        if mask is None:
            return
        factors = self._parameterization.step_factors(mask.nominal, mask.roles)
        self._steps = StepFactors.of(self._agent.algo, weights, factors)

    def _mask_after_step(self, weights: dict[str, nn.Parameter]) -> Callable[..., None]:
        @torch.no_grad()
        def mask_weights(*_: Any) -> None:
            for name, weight in weights.items():
                if name in self._pruned:
                    self._unmasked[name] = weight.detach().clone()
                    weight.masked_fill_(self._pruned[name], 0.0)

        return mask_weights

    def _note_gradient(self, name: str) -> Callable[[Tensor], None]:
        def note(weight: Tensor) -> None:
            if weight.grad is not None:
                self._gradients[name] = weight.grad.detach().clone()

        return note
