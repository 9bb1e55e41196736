"""Pruning methods: when connections go. One file a method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from offline_prune.errors import UnknownNameError
from offline_prune.methods.method import PruningMethod, PruningSettings
from offline_prune.methods.single_shot import SingleShot
from offline_prune.saliency import SALIENCIES

__all__ = ["METHODS", "PruningMethod", "PruningSettings", "SingleShot", "make_method"]

METHODS: dict[str, Callable[[PruningSettings], PruningMethod]] = {
    name: partial(SingleShot, saliency) for name, saliency in SALIENCIES.items()
}
"""Name → method for the settings; every saliency is a single-shot one of its name."""


def make_method(name: str, settings: PruningSettings) -> PruningMethod:
    """Make a pruning method.

    Args:
        name: A key of :data:`METHODS`.
        settings: What the user asked for.

    Returns:
        The method.

    Raises:
        UnknownNameError: If there is no such method.
    """
    if name not in METHODS:
        raise UnknownNameError("pruning method", str(name), METHODS)
    return METHODS[name](settings)
