"""Give a layer other weights, of another size."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["fill_layer"]


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
