"""Encoders of one's own whose wiring this package may follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from d3rlpy.models.torch.encoders import EncoderWithAction
from torch import nn

from offline_prune.base.module_modes import preserved_modes
from offline_prune.errors import AlgorithmError, InputError

__all__ = ["register_layers", "registered_layers"]

_LAYERS: dict[type[nn.Module], Callable[[Any], Iterable[nn.Module]]] = {}


def register_layers(encoder: type[nn.Module], layers: Callable[[Any], Iterable[nn.Module]]) -> None:
    """Say that an encoder of vectors is a stack of layers.

    Its units are then followed like those of d3rlpy's own: effective sparsity is known,
    dead units leave while it trains, and the sparse kernels take it if they know its
    activations. Without it, an encoder of one's own trains in its original layers.

    Args:
        encoder: The class of what the ``EncoderFactory`` creates; not a subclass of it.
        layers: Encoder → its modules in order: linear layers, activations, normalisations,
            dropout. Applied one after the other to the observation, or to observation and
            action side by side, they are what ``forward`` computes; this is tried on every
            agent with such an encoder.

    Raises:
        InputError: If the class is no module, or the layers cannot be asked for.
    """
    if not (isinstance(encoder, type) and issubclass(encoder, nn.Module) and callable(layers)):
        raise InputError(
            "Expected the class of an encoder and a function of an encoder to its layers, as"
            " register_layers(MyEncoder, lambda encoder: encoder.layers)."
        )
    _LAYERS[encoder] = layers


@torch.no_grad()
def registered_layers(encoder: nn.Module) -> list[nn.Module] | None:
    """The layers of a registered encoder.

    Args:
        encoder: Any encoder.

    Returns:
        Its modules in order; None if its class is not registered.

    Raises:
        AlgorithmError: If they compute something else than the encoder does.
    """
    if (layers := _LAYERS.get(type(encoder))) is None:
        return None
    try:
        with preserved_modes(encoder):
            encoder.eval()
            found = list(layers(encoder))
            first = next((module for module in found if isinstance(module, nn.Linear)), None)
            if first is None:
                raise TypeError("there is no linear layer among them")
            x = torch.linspace(-1, 1, 3 * first.in_features, dtype=first.weight.dtype)
            x = x.sin().view(3, -1).to(first.weight.device)
            # Any cut will do: the two are side by side again in front of the first layer.
            parts = (x[:, :-1], x[:, -1:]) if isinstance(encoder, EncoderWithAction) else (x,)
            expected, h = encoder(*parts), x
            for module in found:
                h = module(h)
            right = expected.shape == h.shape and torch.allclose(expected, h, atol=1e-6)
    except Exception as error:  # whatever a forward of somebody's raises
        raise AlgorithmError(
            f"The layers registered for {type(encoder).__name__} cannot be applied one after"
            f" the other: {error}"
        ) from error
    if not right:
        raise AlgorithmError(
            f"The layers registered for {type(encoder).__name__}, applied one after the other,"
            " do not compute what its forward does. Expected every module that it uses, in order."
        )
    return found
