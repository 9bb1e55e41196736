"""Modules that apply layers one after the other, read from what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

__all__ = ["layers_in_order"]

_AS_MODULES: Mapping[Any, Callable[[], nn.Module]] = {
    functional.relu: nn.ReLU,
    functional.sigmoid: nn.Sigmoid,
    functional.silu: nn.SiLU,
    functional.tanh: nn.Tanh,
    torch.relu: nn.ReLU,
    torch.sigmoid: nn.Sigmoid,
    torch.tanh: nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


def layers_in_order(module: nn.Module) -> list[nn.Module] | None:
    """The layers of a module whose ``forward`` is one layer after the other.

    ``forward`` is followed once, symbolically (``torch.fx``): its wiring is read, not guessed from
    the order in which attributes were assigned.

    Args:
        module: Of one tensor.

    Returns:
        Modules of ``torch.nn`` such that ``forward`` applies the first to its input, the next
        to what that puts out, and so on, the layers being the module's own; activations that are
        called as functions become modules. Flattenings of all but the first dimension are
        ``nn.Flatten``. None where ``forward`` is anything else: branches, sums, a layer used twice,
        other functions, Python that depends on values.
    """
    try:
        graph = fx.Tracer().trace(module)
    except Exception:  # whatever a forward of somebody's raises when it meets a symbol
        return None
    found: list[nn.Module] = []
    last: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "output":
            held = [id(layer) for layer in found if next(layer.parameters(), None) is not None]
            return found if node.args == (last,) and len(set(held)) == len(held) else None
        if last is not None:
            if node.args[:1] != (last,):
                return None
            layer = _layer(module, node)
            if layer is None:
                return None
            found.append(layer)
        elif node.op != "placeholder":
            return None
        last = node
    return None


def _layer(module: nn.Module, node: fx.Node) -> nn.Module | None:
    """What a node does to what the node before it puts out; None where it is no layer."""
    if node.op in ("call_function", "call_method") and node.target in (torch.flatten, "flatten"):
        dims = {"start_dim": 0, "end_dim": -1, **node.kwargs}
        dims.update(zip(dims, node.args[1:], strict=False))
        return nn.Flatten() if dims == {"start_dim": 1, "end_dim": -1} else None
    if len(node.args) != 1 or not set(node.kwargs) <= {"inplace"}:
        return None
    if node.op == "call_module":
        return module.get_submodule(str(node.target))
    kind = _AS_MODULES.get(node.target)
    return None if kind is None else kind()
