"""Encoders of one's own whose wiring this package may follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from d3rlpy.models.torch.encoders import EncoderWithAction
from torch import Tensor, nn

from offline_prune.base.module_modes import preserved_modes
from offline_prune.errors import AlgorithmError, InputError

__all__ = ["check_layers", "flattened_size", "register_layers", "registered_layers"]

_LAYERS: dict[type[nn.Module], Callable[[Any], Iterable[nn.Module]]] = {}


def register_layers(encoder: type[nn.Module], layers: Callable[[Any], Iterable[nn.Module]]) -> None:
    """Say that an encoder of vectors or of images is a stack of layers.

    Its units are then followed like those of d3rlpy's own: dead ones leave while it trains,
    and where it is one of vectors effective sparsity is known and the sparse kernels take it
    if they know its activations. Without it, an encoder of one's own trains in its original
    layers.

    Args:
        encoder: The class of what the ``EncoderFactory`` creates; not a subclass of it.
        layers: Encoder → its modules in order: linear layers, convolutions of one group,
            activations, pooling, ``nn.Flatten()`` between channels and linear layers,
            normalisations, dropout. Applied one after the other to the observation they are
            what ``forward`` computes. An action stands beside the observation, or of images
            behind the flattened channels. This is tried on every agent with such an encoder.

    Raises:
        InputError: If the class is no module, or the layers cannot be asked for.

    Examples:
        >>> from torch import nn
        >>> from offline_prune.agents import register_layers
        >>> class Encoder(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layers = nn.Sequential(nn.Linear(3, 8), nn.ReLU())
        ...     def forward(self, x):
        ...         return self.layers(x)
        >>> register_layers(Encoder, lambda encoder: encoder.layers)
    """
    if not (isinstance(encoder, type) and issubclass(encoder, nn.Module) and callable(layers)):
        raise InputError(
            "Expected the class of an encoder and a function of an encoder to its layers, as"
            " register_layers(MyEncoder, lambda encoder: encoder.layers)."
        )
    _LAYERS[encoder] = layers


def registered_layers(encoder: nn.Module) -> list[nn.Module] | None:
    """The layers of a registered encoder, which :func:`check_layers` has tried.

    Args:
        encoder: Any encoder.

    Returns:
        Its modules in order; None if its class is not registered.
    """
    layers = _LAYERS.get(type(encoder))
    return None if layers is None else list(layers(encoder))


@torch.no_grad()
def flattened_size(modules: Sequence[nn.Module], observation_shape: Sequence[int]) -> int:
    """How many numbers of an image are flattened.

    Args:
        modules: Of an encoder of images, in order.
        observation_shape: (channels, H, W).

    Returns:
        Numbers that the first ``nn.Flatten`` puts out; 0 if there is none.
    """
    weight = next(module for module in modules if isinstance(module, nn.Conv2d)).weight
    h: Tensor = torch.zeros(1, *observation_shape, dtype=weight.dtype, device=weight.device)
    with preserved_modes(*modules):
        for module in modules:
            h = module.eval()(h)
            if isinstance(module, nn.Flatten):
                return h.shape[1]
    return 0


@torch.no_grad()
def check_layers(encoder: nn.Module, observation_shape: Sequence[int]) -> None:
    """Try whether the layers of an encoder compute what it does.

    Args:
        encoder: Any encoder; one that is not registered passes.
        observation_shape: Of the observations: (n,), or (channels, H, W).

    Raises:
        AlgorithmError: If the layers of a registered one compute something else, or one of them
            is applied more than once.
    """
    if type(encoder) not in _LAYERS:
        return
    try:
        with preserved_modes(encoder):
            encoder.eval()
            found = registered_layers(encoder) or []
            parts, h = _example(encoder, found, observation_shape)
            expected = encoder(*parts)
            for module in found:
                h = module(h)
                if isinstance(module, nn.Flatten) and len(parts) > 1:
                    h = torch.cat([h, parts[1]], dim=1)
            right = expected.shape == h.shape and torch.allclose(expected, h, atol=1e-6)
    except Exception as error:  # whatever a forward of somebody's raises
        raise AlgorithmError(
            f"The layers registered for {type(encoder).__name__} cannot be applied one after"
            f" the other: {error}"
        ) from error
    held = [id(module) for module in found if next(module.parameters(), None) is not None]
    if len(set(held)) < len(held):
        raise AlgorithmError(
            f"A layer that was registered for {type(encoder).__name__} is applied more than once:"
            " its units are those of several layers at once, which cannot be followed. Do not"
            " register this encoder; it trains in its original layers then."
        )
    if not right:
        raise AlgorithmError(
            f"The layers registered for {type(encoder).__name__}, applied one after the other,"
            " do not compute what its forward does. Expected every module that it uses, in order."
        )


def _example(
    encoder: nn.Module, modules: Sequence[nn.Module], observation_shape: Sequence[int]
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Inputs of an encoder, and what the first of its layers reads of them."""
    layers = [module for module in modules if isinstance(module, nn.Linear | nn.Conv2d)]
    if not layers:
        raise TypeError("there is no linear layer among them")
    weight, with_action = layers[0].weight, isinstance(encoder, EncoderWithAction)

    def numbers(*shape: int) -> Tensor:
        steps = torch.linspace(-1, 1, 3 * torch.Size(shape).numel(), dtype=weight.dtype)
        return (steps * 7.0).sin().view(3, *shape).to(weight.device)

    if isinstance(layers[0], nn.Linear):
        x = numbers(layers[0].in_features)
        # Any cut will do: the two are side by side again in front of the first layer.
        return ((x[:, :-1], x[:, -1:]) if with_action else (x,)), x
    x = numbers(*observation_shape)
    if not with_action:
        return (x,), x
    reader = next(module for module in layers if isinstance(module, nn.Linear))
    return (x, numbers(reader.in_features - flattened_size(modules, observation_shape))), x
