"""Hold a mask whose pruned weights may come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from offline_prune.agents.agent import Agent
from offline_prune.agents.host import Change
from offline_prune.engines.engine import Engine
from offline_prune.engines.zeros import check_fits, hook_gradient, pruned_entries, zero, zeroing
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization

__all__ = ["RegrowingEngine", "Regrowth"]

Regrowth = Literal["never", "at_updates", "at_next_update", "any_step"]
"""What pruned weights may still do.

``"never"``: they are gone for good. ``"at_updates"``: a later mask may take them back,
starting from 0. ``"at_next_update"``: the next one may, and wants their gradients.
``"any_step"``: the optimizer goes on stepping them, and a later mask may take them back
with the value they got.

Examples:
    >>> from typing import get_args
    >>> from offline_prune.engines import Regrowth
    >>> get_args(Regrowth)
    ('never', 'at_updates', 'at_next_update', 'any_step')
"""


class RegrowingEngine(Engine):
    """Hold the nominal mask in layers of the original shape; no unit is given up.

    Weights off every path from input to output are kept, unlike by the other engines: a
    unit that lost its inputs may get new ones. What is pruned is exactly 0.0 after every
    step, in the targets too. In between, every gradient is dense:

    - with regrowth ``"any_step"`` the optimizers step all weights and keep their moments;
      a hook on each optimizer then sets the pruned ones to zero before anything reads
      them. :meth:`unmasked` has what the last step had made of them.
    - otherwise the gradient is noted, then masked, as the masked engine does: optimizers
      leave the zeros alone. :meth:`gradients` has the last dense ones.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.engines import RegrowingEngine
        >>> engine = RegrowingEngine(scored.agent)
        >>> engine.attach(scored.mask, "at_next_update")
        >>> engine.verify()
        >>> engine.detach()
    """

    def __init__(self, agent: Agent, parameterization: Parameterization = STANDARD) -> None:
        """Prepare an engine; nothing changes before :meth:`attach`.

        Args:
            agent: The agent to hold.
            parameterization: How far the optimizers step.
        """
        super().__init__(agent, parameterization)
        self._regrowth: Regrowth = "at_updates"
        self._gradients: dict[str, Tensor] = {}
        self._unmasked: dict[str, Tensor] = {}

    def attach(self, mask: Mask, regrowth: Regrowth = "at_updates") -> None:
        """Zero what the mask prunes and keep it zero after every step.

        Args:
            mask: A mask of this agent; its nominal part is held.
            regrowth: ``"any_step"``, or one that lets weights return at a mask alone.

        Raises:
            MaskError: If the mask belongs to other networks or one is attached.
        """
        if self._mask is None:
            self._regrowth = regrowth
        super().attach(mask)

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
        super().detach()
        self._gradients, self._unmasked = {}, {}

    def unmasked(self) -> dict[str, Tensor]:
        """Weight name → what the last optimizer step made of it, before it was masked."""
        return {name: self._unmasked.get(name, w) for name, w in self.weights().items()}

    def gradients(self) -> dict[str, Tensor]:
        """Weight name → the last step's gradient, dense; empty before the first step."""
        return dict(self._gradients)

    def _hold(self, mask: Mask) -> list[Change]:
        weights = self._agent.weights
        any_step = self._regrowth == "any_step"
        pruned = pruned_entries(self._agent, mask.nominal)
        zero(self._agent, pruned, moments=not any_step)  # else the optimizer goes on with them
        # Hooks run in the order of registration. Gradients are noted first, then masked; the
        # longer step comes first, then the mask.
        if not any_step:
            for name, weight in weights.items():
                self._handles.append(hook_gradient(weight, self._note_gradient(name)))
        self._keep_all(pruned, hook=not any_step)
        self._lengthen_steps(mask, mask.nominal)
        if any_step:
            for wrapper in self._agent.host.optimizers():
                stepped = {id(p) for group in wrapper.optim.param_groups for p in group["params"]}
                named = {n: (weights[n], zeroing(p, weights[n].dtype))
                         for n, p in pruned.items() if id(weights[n]) in stepped}  # fmt: skip
                if named:
                    hook = self._mask_after_step(named)
                    self._handles.append(wrapper.optim.register_step_post_hook(hook))
        return []

    def _mask_after_step(
        self, pruned: dict[str, tuple[nn.Parameter, Callable[[Tensor], None]]]
    ) -> Callable[..., None]:
        @torch.no_grad()
        def mask_weights(*_: Any) -> None:
            for name, (weight, mask) in pruned.items():
                self._unmasked[name] = weight.detach().clone()
                mask(weight)

        return mask_weights

    def _note_gradient(self, name: str) -> Callable[[Tensor], None]:
        def note(weight: Tensor) -> None:
            if weight.grad is not None:
                self._gradients[name] = weight.grad.detach().clone()

        return note
