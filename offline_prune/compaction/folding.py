"""Hand the constant output of dead units to the next layer's bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from offline_prune.agents.topology import Chain, Layer
from offline_prune.masks.connectivity import unit_mask

__all__ = ["fold_constant_units"]


@torch.no_grad()
def fold_constant_units(chains: Sequence[Chain], mask: Mapping[str, Tensor]) -> None:
    """Prune the outgoing weights of units without inputs, in place, exactly.

    A unit that no kept weight leads to puts out the constant ``c = σ(b)``. For every
    such unit the next layer's bias takes over its share, ``b' = b + W[:, unit] · c``
    (summed over the kernel of a convolution, over the H·W columns after flattening),
    and its outgoing weights become zero. The network computes the same function.

    Args:
        chains: Chains whose weights are already zero where ``mask`` is false. Chains
            that cannot fold exactly (:attr:`Chain.constant_units_fold`) are left alone.
        mask: Weight name → boolean mask of the weight's shape.
    """
    for chain in chains:
        if not chain.constant_units_fold:
            continue
        units: Tensor | None = None  # a unit's constant output, NaN where it varies
        for stage in chain.stages:
            for layer in stage.layers:
                columns = layer.module.weight.new_full((layer.module.weight.shape[1],), torch.nan)
                if units is not None:
                    owned = units.repeat_interleave(stage.repeat)
                    columns[: len(owned)] = owned
                without_inputs = _fold_into(layer, columns, mask[layer.name])
            if stage is not chain.stages[-1]:
                weight, bias = stage.layers[0].module.weight, stage.layers[0].module.bias
                before = weight.new_zeros(len(weight)) if bias is None else bias
                units = torch.where(without_inputs, stage.activate(before), torch.nan)


def _fold_into(layer: Layer, columns: Tensor, mask: Tensor) -> Tensor:
    """Fold constant columns into a layer's bias; return its units without inputs."""
    weight, bias = layer.module.weight, layer.module.bias
    constant = ~columns.isnan()
    if bool(constant.any()):
        if bool((columns[constant] != 0.0).any()):
            assert bias is not None  # part of what constant_units_fold promises
            per_column = weight.flatten(2).sum(dim=2) if weight.dim() > 2 else weight
            bias += per_column @ columns.nan_to_num(nan=0.0)
        weight[:, constant] = 0.0
    kept = unit_mask(mask).to(weight.device)
    return ~(kept & ~constant).any(dim=1)
