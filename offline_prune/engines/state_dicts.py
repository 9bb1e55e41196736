"""State dicts of the original shapes while small parameters are being trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from offline_prune.engines.replacement import Replacement

__all__ = ["OriginalStateDict", "tensor_names"]


def tensor_names(module: nn.Module) -> dict[int, str]:
    """``id`` of a parameter or buffer → its name in the module."""
    named = (*module.named_parameters(), *module.named_buffers())
    return {id(tensor): name for name, tensor in named}


class OriginalStateDict:
    """Lets a module save and load as if nothing had been replaced in it.

    A file saved in the middle of training, by a logger of d3rlpy's for example, then
    opens in stock d3rlpy; a dense file loads into the small network, whose mask holds.
    """

    def __init__(
        self,
        owner: nn.Module,
        names: dict[int, str],
        keys: Sequence[str],
        replacements: Iterable[Replacement],
    ) -> None:
        """Hook a module after its parameters were replaced.

        Args:
            owner: The module.
            names: :func:`tensor_names` of it before.
            keys: Keys of its state dict before.
            replacements: The replacements; those of other modules are ignored.
        """
        small = tensor_names(owner)
        self._keys, self._small_keys = tuple(keys), tuple(owner.state_dict())
        self._parts = [
            (small[id(r.small)], [names[id(o)] for o in r.packing.originals], r)
            for r in replacements
            if id(r.small) in small
        ]
        self.handles: tuple[RemovableHandle, ...] = (
            owner.register_state_dict_post_hook(_Expand(self)),
            owner.register_load_state_dict_pre_hook(self._pack),
        )

    def expand(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Put the originals in the place of the small parameters, in their order."""
        found = {key: state_dict.pop(prefix + key) for key in self._small_keys}
        for _, names, replacement in self._parts:
            found |= dict(zip(names, replacement.expanded(), strict=True))
        state_dict.update({prefix + key: found[key] for key in self._keys})

    def _pack(self, _: nn.Module, state_dict: dict[str, Any], prefix: str, *__: Any) -> None:
        for small, names, replacement in self._parts:
            full = [state_dict.pop(prefix + name, None) for name in names]
            # A missing key is for load_state_dict to report.
            if not any(tensor is None for tensor in full):
                state_dict[prefix + small] = replacement.packing.pack(full)


class _Expand:
    """The hook: torch marks it with an attribute, which a method cannot take."""

    def __init__(self, subject: OriginalStateDict) -> None:
        self._subject = subject

    def __call__(
        self, module: nn.Module, state_dict: dict[str, Any], prefix: str, metadata: Any
    ) -> None:
        self._subject.expand(state_dict, prefix)
