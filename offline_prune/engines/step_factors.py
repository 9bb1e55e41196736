"""Lengthen an optimizer's steps, entry by entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.host import SteppedBy

if TYPE_CHECKING:
    from offline_prune.engines.replacement import Replacement

__all__ = ["lengthen_steps"]


def lengthen_steps(
    optimizers: Iterable[SteppedBy],
    weights: Mapping[str, nn.Parameter],
    factors: Mapping[str, Tensor],
    replacements: Iterable[Replacement] = (),
) -> list[RemovableHandle]:
    """Multiply every optimizer step of some parameters by a factor an entry.

    Formula: ``w ← w_old + s ⊙ (w_new − w_old)`` right after the optimizer's step, before a
    target update or anything else reads the weight. For Adam, AdamW, RMSprop and SGD this
    is the learning rate ``s · η`` (weight decay and momentum are part of the step), whatever
    schedule η follows; the optimizer itself, its parameter groups and its moments stay
    d3rlpy's, and so do the files it writes. Where s is 1 the step is the optimizer's own,
    bit for bit.

    Args:
        optimizers: Those that step the parameters.
        weights: Weight name → parameter, in its original shape.
        factors: Weight name → factor, broadcastable to the weight's shape. Weights
            that are not named, and biases, keep their steps.
        replacements: Small parameters that are stepped in the place of originals.

    Returns:
        Their hooks.
    """
    by_original = {
        id(weights[name]): factor.to(weights[name]).expand_as(weights[name])
        for name, factor in factors.items()
    }
    chosen = {
        id(r.small): r.packing.pack(
            [
                by_original.get(id(o), torch.ones_like(o, requires_grad=False))
                for o in r.packing.originals
            ]
        )
        for r in replacements
        if any(id(o) in by_original for o in r.packing.originals)
    }
    handles: list[RemovableHandle] = []
    for wrapper in optimizers:
        stepped = [p for group in wrapper.optim.param_groups for p in group["params"]]
        found = {id(p): chosen.get(id(p), by_original.get(id(p))) for p in stepped}
        longer = [(p, s) for p in stepped if (s := found[id(p)]) is not None]
        if longer:
            handles.extend(_lengthen(wrapper.optim, longer))
    return handles


def _lengthen(
    optimizer: torch.optim.Optimizer, longer: list[tuple[nn.Parameter, Tensor]]
) -> list[RemovableHandle]:
    parameters: list[Tensor] = [p for p, _ in longer]
    factors = [s.contiguous() for _, s in longer]
    before = [torch.empty_like(p, requires_grad=False) for p in parameters]

    @torch.no_grad()
    def note(*_: Any) -> None:
        torch._foreach_copy_(before, parameters)

    @torch.no_grad()
    def lengthen(*_: Any) -> None:
        for parameter, old, factor in zip(parameters, before, factors, strict=True):
            torch.lerp(old, parameter, factor, out=parameter)

    return [
        optimizer.register_step_pre_hook(note),
        optimizer.register_step_post_hook(lengthen),
    ]
