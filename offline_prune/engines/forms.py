"""In which form a pruned network is trained by the compact engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from d3rlpy.models.torch.encoders import VectorEncoder, VectorEncoderWithAction
from torch import Tensor, nn

from offline_prune.agents.topology import Chain, Layer
from offline_prune.engines.optimizers import find_optimizers
from offline_prune.engines.sparse_mlp import kernels_available

__all__ = ["Form", "Kernels", "choose_form"]

Kernels = Literal["auto", "dense", "sparse"]
Form = Literal["masked", "dense", "sparse"]

_SPARSE_BELOW = 0.5
"""Density of the live network under which the sparse kernels are the faster ones.

At every width from 64 to 1024; see ``benchmarks/results/kernels.md``.
"""


def choose_form(
    chain: Chain,
    target: Chain | None,
    live: Mapping[str, Tensor],
    connected: Mapping[str, Tensor],
    algo: Any,
    kernels: Kernels,
) -> Form:
    """Choose how a chain is trained.

    The choice depends on shapes, masks and the device, never on a clock: the same run
    gives the same weights.

    Args:
        chain: The online chain.
        target: Its target; None if there is none.
        live: Weight name → (out,) boolean, true = alive.
        connected: Weight name → boolean mask, the connected part.
        algo: The d3rlpy algorithm.
        kernels: ``"dense"``, ``"sparse"`` wherever it fits, or ``"auto"``.

    Returns:
        ``"masked"``: the original layers, because nothing is dead, constants do not
        fold, or CUDA graphs hold on to the tensors they were captured with;
        ``"dense"``: dense layers of the live size; ``"sparse"``: kept weights only.
    """
    layers = [layer for stage in chain.stages for layer in stage.layers]
    if algo.compiled or all(bool(connected[layer.name].all()) for layer in layers):
        return "masked"
    if kernels != "dense" and _fits_sparse(chain, target) and _one_group(layers, algo):
        kept = sum(int(connected[layer.name].sum()) for layer in layers)
        if kernels == "sparse" or kept < _SPARSE_BELOW * _live_size(chain, live):
            return "sparse"
    dead = any(not bool(live[layer.name].all()) for layer in layers if layer.name in live)
    return "dense" if dead else "masked"


def _fits_sparse(chain: Chain, target: Chain | None) -> bool:
    """Whether a chain is a multilayer perceptron with ReLU that the kernels can run."""
    if not kernels_available() or not chain.constant_units_fold or len(chain.owners) != 1:
        return False
    if target is not None and target.weight_names != chain.weight_names:
        return False  # the two must have parameters of the same shape
    encoder = chain.owners[0]._encoder
    if not isinstance(encoder, VectorEncoder | VectorEncoderWithAction):
        return False
    if getattr(encoder, "_discrete_action", False):
        return False  # actions arrive as numbers, to be one-hot encoded
    *hidden, _ = chain.stages
    weights = [layer.module.weight for stage in chain.stages for layer in stage.layers]
    on_cpu = all(w.device.type == "cpu" and w.dtype == torch.float32 for w in weights)
    return on_cpu and all([type(m) for m in stage.after] == [nn.ReLU] for stage in hidden)


def _one_group(layers: list[Layer], algo: Any) -> bool:
    """Whether one optimizer steps all parameters with one learning rate and decay."""
    parameters = {id(p) for layer in layers for p in layer.module.parameters()}
    groups = (
        {id(p) for p in group["params"]}
        for wrapper in find_optimizers(algo)
        for group in wrapper.optim.param_groups
    )
    return all(parameters <= group or not parameters & group for group in groups)


def _live_size(chain: Chain, live: Mapping[str, Tensor]) -> int:
    """Weights of the dense layers that are left when dead units are out."""
    size, columns = 0, chain.stages[0].layers[0].module.weight.shape[1]
    for stage in chain.stages:
        units = sum(int(live[layer.name].sum()) for layer in stage.layers)
        size += units * columns
        columns = units
    return size
