"""What kind of thing a pruning method is, and the order of methods everywhere."""

from __future__ import annotations

from offline_prune.base.expression import Expression, parse
from offline_prune.errors import InputError
from offline_prune.methods import METHODS
from offline_prune.study import DENSE

__all__ = ["KINDS", "kind_of", "shuffled"]

KINDS = ("dense", "saliency", "control", "while training")
"""In the order of tables and figures."""

_CONTROLS = frozenset(
    ("shuffled", "reinitialised", "inverted", "corrupted", "magnitude", "random", "small_dense")
)


def kind_of(method: str) -> str:
    """Say what kind of method an expression names.

    Controls are what a saliency must beat: masks that look at nothing, at less, or at
    something else, and a small dense network. ``rescaled(m)`` is of the kind of ``m``.

    Args:
        method: The expression.

    Returns:
        One of :data:`KINDS`; what is none of the others counts as a saliency.
    """
    if method == DENSE:
        return "dense"
    try:
        expression = parse(method)
    except InputError:
        return "saliency"  # the path of a saved mask
    while expression.name == "rescaled":
        inner = expression.arguments[:1]
        if not inner or not isinstance(inner[0], Expression):
            return "saliency"
        expression = inner[0]
    if expression.name in _CONTROLS:
        return "control"
    made = METHODS.get(expression.name)
    changes = any(getattr(made, name, False) for name in ("while_training", "replaces_agent"))
    return "while training" if changes else "saliency"


def shuffled(method: str) -> tuple[str, ...]:
    """Name the control of a method whose mask is shuffled within its layers.

    Args:
        method: The expression.

    Returns:
        How that control may be written.
    """
    return ("shuffled(snip)", "shuffled") if method == "snip" else (f"shuffled({method})",)
