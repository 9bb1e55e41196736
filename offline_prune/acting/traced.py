"""Encoders that are no stack of layers, without the units that no action depends on."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence

import torch
from d3rlpy.models.torch.encoders import PixelEncoder, VectorEncoder
from torch import Tensor, nn

from offline_prune.agents.network import is_prunable
from offline_prune.agents.residual_units import residual_units
from offline_prune.agents.traced_units import traced_units
from offline_prune.compaction.unit_removal import remove_units
from offline_prune.encoders.impala import ImpalaEncoder
from offline_prune.encoders.parts import PartsEncoder
from offline_prune.masks.connectivity import unit_mask
from offline_prune.masks.reading import read_units

__all__ = ["WholeEncoderWarning", "remove_unread_units"]


class WholeEncoderWarning(UserWarning):
    """Units could leave an encoder, but what ties them together cannot be found here.

    Examples:
        >>> from offline_prune.export import WholeEncoderWarning
        >>> issubclass(WholeEncoderWarning, UserWarning)  # the extra `structured` lets units leave
        True
    """


def remove_unread_units(
    network: nn.Module, encoder: nn.Module, heads: Sequence[nn.Module], shape: Sequence[int]
) -> None:
    """Make the layers of a network smaller, in place, the function unchanged.

    A unit leaves with its rows and biases when no weight ≠ 0 reads it
    (:func:`~offline_prune.masks.reading.read_units`); channels that identity
    connections tie together leave at once. Only IMPALA encoders (and Impoola), d3rlpy's own
    of linear layers and convolutions, and encoders of parts that are such are touched: others
    may mix units between layers, so that none of them could leave. The wiring of IMPALA
    encoders that heads alone read is known, that of the others is traced.

    Args:
        network: Of observations, on the CPU, in evaluation mode; nobody else's layers.
        encoder: Its encoder.
        heads: Layers whose outputs are the network's; they lose none.
        shape: Of one observation.

    Warns:
        WholeEncoderWarning: If Torch-Pruning, which traces the wiring, is asked for and missing
            and there is a layer with a column of zeros: the network stays as it is.
    """
    if not _keeps_units_apart(network, encoder):
        return
    weights: dict[str, Tensor] = {
        f"{name}.weight": m.weight for name, m in network.named_modules() if is_prunable(m)
    }
    if all(bool(unit_mask(weight != 0).any(dim=0).all()) for weight in weights.values()):
        return
    names = {id(weight): name for name, weight in weights.items()}
    linear = [head for head in heads if isinstance(head, nn.Linear)]
    found = residual_units(encoder, linear, names)
    # Other layers may stand behind the encoder, and what they read is not in its graph.
    if found is not None and {weight.name for weight in found[0].weights} == weights.keys():
        graph, _ = found
    elif importlib.util.find_spec("torch_pruning") is None:
        warnings.warn(
            "The encoder is written whole: units of it could leave, but which belong"
            " together is found by tracing. pip install 'offline-prune[structured]', which"
            " brings Torch-Pruning, and export again.",
            WholeEncoderWarning,
            stacklevel=2,
        )
        return
    else:
        network.requires_grad_(True)  # the graph of gradients is what is traced
        graph = traced_units(network, [torch.zeros(2, *shape)], heads, names)
        network.requires_grad_(False)
    remove_units(network, graph, read_units(graph, weights))


def _keeps_units_apart(network: nn.Module, encoder: nn.Module) -> bool:
    """Whether only linear layers and convolutions let one unit read another."""
    whole = (encoder,)
    if type(encoder) is PartsEncoder:
        whole = (*encoder.parts.encoders, encoder.joint)
    if any(type(part) not in (ImpalaEncoder, PixelEncoder, VectorEncoder) for part in whole):
        return False
    holders = [m for m in network.modules() if next(m.parameters(recurse=False), None) is not None]
    return all(is_prunable(m) and getattr(m, "groups", 1) == 1 for m in holders)
