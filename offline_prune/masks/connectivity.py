"""The connected part of a mask: weights on a path from an input to an output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from offline_prune.agents.topology import Chain, Stage

__all__ = ["columns_of", "connected_part", "has_path", "unit_mask"]


def unit_mask(mask: Tensor) -> Tensor:
    """Reduce a weight's mask to units × columns.

    Args:
        mask: (out, in), or (out, in, kernel h, kernel w).

    Returns:
        (out, in): whether any weight between the two is kept.
    """
    return mask.flatten(2).any(dim=2) if mask.dim() > 2 else mask


def columns_of(stage: Stage, before: Tensor | None, width: int) -> Tensor:
    """Spread a flag a unit of one stage over the columns of the next.

    Args:
        stage: The stage that reads the units.
        before: (units,) boolean of the stage before; None for inputs.
        width: Columns of the stage's layers.

    Returns:
        (in,) boolean; inputs of the network, also appended ones, are true.
    """
    if before is None:
        return torch.ones(width, dtype=torch.bool)
    owned = before.repeat_interleave(stage.repeat)
    return torch.cat([owned, owned.new_ones(width - owned.numel())])


def _forward(chain: Chain, mask: Mapping[str, Tensor]) -> list[Tensor]:
    """For every stage, which of its input columns an input of the network reaches."""
    reached: list[Tensor] = []
    units: Tensor | None = None
    for stage in chain.stages:
        matrices = [unit_mask(mask[layer.name]) for layer in stage.layers]
        alive = columns_of(stage, units, matrices[0].shape[1]).to(matrices[0].device)
        reached.append(alive)
        units = (matrices[0] & alive).any(dim=1)
    return reached


def _backward(chain: Chain, mask: Mapping[str, Tensor]) -> list[Tensor]:
    """For every stage but the last, which of its outputs reach an output."""
    heads, *hidden = reversed(chain.stages)
    columns = torch.stack([unit_mask(mask[head.name]).any(dim=0) for head in heads.layers]).any(
        dim=0
    )
    needed: list[Tensor] = []
    above = heads
    for stage in hidden:
        (layer,) = stage.layers
        matrix = unit_mask(mask[layer.name])
        owned = columns[: len(matrix) * above.repeat]
        needed.append(owned.reshape(len(matrix), above.repeat).any(dim=1))
        columns = (matrix & needed[-1][:, None]).any(dim=0)
        above = stage
    return needed[::-1]


def connected_part(chains: Sequence[Chain], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Restrict a mask to the weights on some path from an input to an output.

    A unit without a kept weight leading to it puts out a constant; one without a kept
    weight leaving it is never read. The other weights of such dead units carry no
    signal, and losing them can kill further units: the result is the fixed point,
    reached by one sweep forwards and one backwards.

    Args:
        chains: How the units feed one another.
        mask: Weight name → boolean mask of the weight's shape.

    Returns:
        Weight name → boolean mask; a subset of ``mask``. Weights that belong to no
        chain are returned as they are.

    References:
        Vysogorets, Kempe 2023, arXiv 2107.02306 (effective sparsity).

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.masks import connected_part
        >>> mask = {name: kept.clone() for name, kept in scored.mask.nominal.items()}
        >>> mask["imitator._encoder._layers.0.weight"][:] = False  # nothing reads the inputs now
        >>> found = connected_part(scored.agent.chains, mask)
        >>> sum(int(kept.sum()) for kept in found.values())
        0
    """
    connected = dict(mask)
    for chain in chains:
        reached, needed = _forward(chain, mask), _backward(chain, mask)
        last = len(chain.stages) - 1
        for depth, stage in enumerate(chain.stages):
            for layer in stage.layers:
                full = mask[layer.name]
                row = full.new_ones(len(full)) if depth == last else needed[depth]
                alive = row[:, None] & reached[depth][None, :]
                connected[layer.name] = full & alive.reshape(*alive.shape, *[1] * (full.dim() - 2))
    return connected


def has_path(chain: Chain, mask: Mapping[str, Tensor]) -> bool:
    """Whether any input of the chain still reaches any output.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.masks import has_path
        >>> has_path(scored.agent.chains[0], scored.mask.nominal)
        True
    """
    connected = connected_part([chain], mask)
    return any(bool(connected[layer.name].any()) for layer in chain.stages[-1].layers)
