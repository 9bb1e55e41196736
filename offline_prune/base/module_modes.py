"""Training and evaluation modes of modules, left as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["preserved_modes"]


@contextmanager
def preserved_modes(*modules: nn.Module) -> Iterator[None]:
    """Leave the modes of modules, and of all that they hold, as they were.

    Args:
        *modules: The modules.
    """
    modes = [(module, module.training) for top in modules for module in top.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
