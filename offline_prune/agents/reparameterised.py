"""Layers whose weights torch computes from other parameters."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from offline_prune.errors import AlgorithmError

__all__ = ["refuse_reparameterised"]

_COMPUTED = {
    "weight_orig": "torch.nn.utils.prune.remove(module, 'weight'), or remove_spectral_norm(module)",
    "weight_g": "torch.nn.utils.remove_weight_norm(module)",
}


def refuse_reparameterised(modules: Iterable[tuple[str, nn.Module]]) -> None:
    """Refuse what ``torch.nn.utils.prune``, ``weight_norm`` and ``parametrize`` leave behind.

    Such a layer's weight is made anew before every use: a mask on it would hold nothing.

    Args:
        modules: Names and modules of the networks.

    Raises:
        AlgorithmError: If there is one; names it, and what makes it a plain layer.
    """
    for field, module in modules:
        for name, layer in module.named_modules():
            where = f"{field}.{name}".rstrip(".")
            own = dict(layer.named_parameters(recurse=False))
            calls = [call for computed_from, call in _COMPUTED.items() if computed_from in own]
            if is_parametrized(layer):
                calls = ["torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')"]
            if calls:
                raise AlgorithmError(
                    f"The weight of {where} is computed from other parameters, as"
                    " torch.nn.utils.prune, weight_norm and parametrize do it. Expected plain"
                    f" layers: call {calls[0]} first."
                )
