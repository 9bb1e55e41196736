"""Give a layer other weights, or a batch normalisation other units."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from offline_prune.agents.separable import BatchNorm

__all__ = ["at_least_one", "fill_layer", "fill_norm"]


def at_least_one(units: Tensor) -> Tensor:
    """The first unit besides, where there is none: no tensor is to be empty.

    Args:
        units: (size,) boolean.

    Returns:
        The same, or a copy.
    """
    if units.any():
        return units
    first = units.clone()
    first[0] = True
    return first


def fill_layer(
    layer: nn.Linear | nn.Conv2d,
    weight: Tensor,
    bias: Tensor | None,
    *,
    requires_grad: bool = False,
) -> None:
    """Replace a layer's weight and bias, in place; the layer takes their size.

    Args:
        layer: The layer.
        weight: (out, in, …); of a convolution of groups, in is that of one group.
        bias: (out,), or None for a layer without.
        requires_grad: Whether the new parameters need gradients.
    """
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=requires_grad)
    layer.bias = None
    if bias is not None:
        layer.bias = nn.Parameter(bias.contiguous(), requires_grad=requires_grad)
    if isinstance(layer, nn.Conv2d):
        layer.out_channels, layer.in_channels = weight.shape[0], weight.shape[1] * layer.groups
    else:
        layer.out_features, layer.in_features = weight.shape


def fill_norm(norm: BatchNorm, tensors: Mapping[str, Tensor]) -> None:
    """Replace what a batch normalisation has a unit, in place, frozen.

    Args:
        norm: The normalisation.
        tensors: ``"weight"``, ``"bias"``, ``"running_mean"``, ``"running_var"``, as far as it
            has them → (units,).
    """
    for name, tensor in tensors.items():
        is_buffer = name in norm._buffers
        setattr(norm, name, tensor if is_buffer else nn.Parameter(tensor, requires_grad=False))
        norm.num_features = len(tensor)
