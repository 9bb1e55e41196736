"""Control: keep what a saliency would remove first."""

from __future__ import annotations

from offline_prune.errors import InputError
from offline_prune.methods.method import PruningMethod
from offline_prune.methods.single_shot import SingleShot
from offline_prune.saliency.objective import Objective, Scores

__all__ = ["inverted"]


def inverted(inner: PruningMethod) -> SingleShot:
    """Prune in one shot by the negative of a saliency.

    A saliency that carries information must lose by this.

    Args:
        inner: A single-shot method.

    Returns:
        The same method, lowest scores kept.

    Raises:
        InputError: If the other method is not a single-shot one.
    """
    if not isinstance(inner, SingleShot):
        raise InputError(
            "inverted(...) takes a method that scores once, such as inverted(snip), not"
            f" {type(inner).__name__}."
        )
    saliency = inner.saliency

    def negative(objective: Objective) -> Scores:
        return {name: -score for name, score in saliency(objective).items()}

    return SingleShot(negative, inner.settings)
