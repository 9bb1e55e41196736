"""Bring the zeros of a mask into an agent, and keep them by hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.agent import Agent
from offline_prune.agents.separable import UnitNorm
from offline_prune.compaction import fold_constant_units
from offline_prune.engines.optimizers import is_moment
from offline_prune.errors import MaskError
from offline_prune.masks.live import live_units
from offline_prune.masks.mask import Mask

__all__ = [
    "check_fits",
    "hold_at_zero",
    "hook_gradient",
    "impose",
    "pruned_entries",
    "zero",
    "zeroing",
]


def impose(agent: Agent, mask: Mask) -> None:
    """Make everything that a mask prunes zero, once, computing the same function.

    Constant outputs of units that lost all inputs move into the next bias, then weights
    off the connected part go: in the networks, their targets, and the optimizers'
    moments. Biases of dead units, their scales and shifts go too; nobody reads those units any
    more. Their running statistics become those of the zeros that they put out from now on.

    Args:
        agent: The agent; changed in place.
        mask: A mask of this agent.

    Raises:
        MaskError: If the mask belongs to other networks.
    """
    check_fits(agent, mask)
    zero(agent, pruned_entries(agent, mask.nominal))
    fold_constant_units(agent.chains, mask.nominal)
    fold_constant_units(agent.target_chains, mask.nominal)
    zero(agent, pruned_entries(agent, mask.connected))
    live = live_units(agent.chains, mask.connected, agent.separable)
    # Nobody reads dead units any more: they put out zero, and their statistics rest.
    for network in (*agent.separable, *agent.target_separable):
        for layer in network.layers:
            if layer.module.bias is not None:
                _zero_entries(agent, layer.module.bias, ~live[layer.name])
        for norm in network.norms:
            _silence(agent, norm, ~live[norm.layer])


def check_fits(agent: Agent, mask: Mask) -> None:
    """Check that a mask belongs to an agent.

    Args:
        agent: The agent.
        mask: The mask.

    Raises:
        MaskError: If names or shapes differ.
    """
    expected = {n: tuple(w.shape) for n, w in agent.weights.items()}
    found = {name: tuple(kept.shape) for name, kept in mask.nominal.items()}
    if expected != found:
        wrong = sorted(set(expected.items()) ^ set(found.items()))
        raise MaskError(
            f"The mask does not fit this {agent.name} agent; they differ in"
            f" {wrong}. A mask belongs to networks of the same names and shapes."
        )


def pruned_entries(agent: Agent, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Invert a mask.

    Args:
        agent: The agent.
        kept: Weight name → boolean, true = kept.

    Returns:
        Weight name → boolean, true = pruned, on the weight's device; only weights that
        lose something.
    """
    weights = agent.weights
    pruned = {n: ~mask.to(weights[n].device) for n, mask in kept.items()}
    return {name: entries for name, entries in pruned.items() if entries.any()}


def hold_at_zero(weight: nn.Parameter, pruned: Tensor) -> RemovableHandle:
    """Keep the pruned entries of a weight's gradient zero from now on.

    The hook runs before any clipping or optimizer, so that d3rlpy's optimizers leave
    zeros alone: Adam's moments stay 0, weight decay of 0 is 0.

    Args:
        weight: The weight; its pruned entries are zero.
        pruned: Boolean of its shape, true = pruned.

    Returns:
        The hook's handle.
    """
    mask = zeroing(pruned, weight.dtype)

    def mask_gradient(weight: Tensor) -> None:
        if weight.grad is not None:
            mask(weight.grad)

    return hook_gradient(weight, mask_gradient)


def hook_gradient(weight: nn.Parameter, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call a function whenever a gradient of a weight has been accumulated.

    Args:
        weight: The weight; an OFENet's is frozen but in its own steps.
        hook: Gets the weight.

    Returns:
        The hook's handle.
    """
    wanted = weight.requires_grad
    weight.requires_grad_(True)  # torch takes hooks of such tensors alone, and keeps them
    handle: RemovableHandle = weight.register_post_accumulate_grad_hook(hook)
    weight.requires_grad_(wanted)
    return handle


_WHOLE_NUMBERS = {
    size.itemsize: size for size in (torch.int16, torch.int32, torch.int64)
}  # as many bits as a float


def zeroing(pruned: Tensor, dtype: torch.dtype) -> Callable[[Tensor], None]:
    """Make what zeroes the same entries again and again.

    It keeps all bits of what is kept and none of the rest, which is vector code. Filling is
    not, and takes many times as long where half of the entries are pruned; a product with
    a mask lets a NaN through.

    Args:
        pruned: Boolean, true = pruned.
        dtype: Of the tensors: of floats.

    Returns:
        What zeroes those entries of a tensor of that shape, dtype and device, in place, to
        0.0 exactly.
    """
    bits = _WHOLE_NUMBERS[dtype.itemsize]
    kept = (~pruned).to(bits).neg_()

    def zero_entries(tensor: Tensor) -> None:
        tensor.view(bits).bitwise_and_(kept)

    return zero_entries


@torch.no_grad()
def zero(agent: Agent, pruned: Mapping[str, Tensor], *, moments: bool = True) -> None:
    """Zero pruned entries of weights, targets, gradients and optimizer moments.

    Args:
        agent: The agent; changed in place.
        pruned: Weight name → boolean of its shape, true = pruned.
        moments: Whether gradients and moments too.
    """
    weights, targets = agent.weights, agent.targets
    for name, entries in pruned.items():
        _zero_entries(agent, weights[name], entries, moments=moments)
        if name in targets:
            targets[name].masked_fill_(entries, 0.0)


@torch.no_grad()
def _zero_entries(
    agent: Agent, parameter: Tensor, entries: Tensor, *, moments: bool = True
) -> None:
    tensors: list[Tensor | None] = [parameter]
    if moments:
        tensors.append(parameter.grad)
        for wrapper in agent.host.optimizers():
            # .get: looking a parameter up must not create a state for it.
            state = wrapper.optim.state.get(parameter, {})
            tensors += [m for m in state.values() if is_moment(m, parameter)]
    for tensor in tensors:
        if tensor is not None:
            tensor.masked_fill_(entries.to(tensor.device), 0.0)


@torch.no_grad()
def _silence(agent: Agent, norm: UnitNorm, units: Tensor) -> None:
    """Let batch normalisation make zeros of dead units, whose statistics do not move."""
    module = norm.module
    for parameter in (module.weight, module.bias):
        if parameter is not None:
            _zero_entries(agent, parameter, units)
    if module.running_mean is not None and module.running_var is not None:
        units = units.to(module.running_mean.device)
        module.running_mean[units] = norm.silent
        module.running_var[units] = 0.0
