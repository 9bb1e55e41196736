"""Hidden units, seen while a network is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from d3rlpy.torch_utility import GEGLU, Swish
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from offline_prune.errors import InputError

__all__ = ["record_activity", "unit_activity"]

# Modules of this kind call these too; a mode sees the functions of both.
_ACTIVATIONS: frozenset[Callable[..., Tensor]] = frozenset(
    {
        functional.celu,
        functional.elu,
        functional.gelu,
        functional.hardswish,
        functional.leaky_relu,
        functional.mish,
        functional.relu,
        functional.relu6,
        functional.selu,
        functional.silu,
        functional.softplus,
        torch.relu,
        torch.relu_,
        torch.tanh,
        Tensor.relu,
        Tensor.relu_,
        Tensor.tanh,
        Tensor.tanh_,
    }
)
# What these call inside is a gate, not a unit.
_GATED = (GEGLU, Swish, nn.Sigmoid)


def unit_activity(activation: Tensor) -> Tensor:
    """How strongly every unit reacts to every input: ``|h|``, mean over positions.

    Args:
        activation: (B, units), or (B, channels, …) with positions behind; a channel is
            one unit.

    Returns:
        (B, units), not negative.

    Raises:
        InputError: If there are fewer than two dimensions.
    """
    if activation.ndim < 2:
        raise InputError(
            "An activation has the shape (B, units) or (B, channels, …), not"
            f" {tuple(activation.shape)}."
        )
    size = activation.detach().abs()
    return size if size.ndim == 2 else size.flatten(2).mean(dim=2)


class _Recorder(TorchFunctionMode):
    """Notes what activation functions return, in the order of the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.activity: list[Tensor] = []
        self.gates = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in _ACTIVATIONS and not self.gates:
            self.activity.append(unit_activity(output))
        return output

    def enter_gate(self, _: nn.Module, __: Any) -> None:
        self.gates += 1

    def leave_gate(self, _: nn.Module, __: Any, output: Tensor) -> None:
        self.gates -= 1
        self.activity.append(unit_activity(output))


@contextmanager
def record_activity(module: nn.Module) -> Iterator[list[Tensor]]:
    """Record the hidden units of a module while it is evaluated.

    A hidden unit is an output of an activation function, be it called as a module
    (``nn.ReLU``) or as a function (``F.relu``); of d3rlpy's gated modules (``Swish``,
    ``GEGLU``) it is what they return. Features that an encoder holds aside and reads are
    evaluated with it and count. Nothing is left on the module afterwards.

    Args:
        module: An encoder, for example; evaluate nothing else meanwhile.

    Yields:
        A list to which every evaluation appends the :func:`unit_activity` of each
        hidden layer, (B, units), in the order in which they are computed.
    """
    recorder = _Recorder()
    # One activation module may stand in several places; modules() names it once.
    gated = [child for child in module.modules() if isinstance(child, _GATED)]
    handles = [child.register_forward_pre_hook(recorder.enter_gate) for child in gated]
    handles += [child.register_forward_hook(recorder.leave_gate) for child in gated]
    try:
        with recorder:
            yield recorder.activity
    finally:
        for handle in handles:
            handle.remove()
