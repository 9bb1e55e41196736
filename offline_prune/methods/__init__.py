"""Pruning methods: when connections go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

from offline_prune.base.expression import Expression, parse
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.masks.mask import Mask
from offline_prune.methods.corrupted import Corrupted
from offline_prune.methods.fixed_mask import FixedMask
from offline_prune.methods.gates.method import BernoulliGates
from offline_prune.methods.gradual_magnitude import GradualMagnitude
from offline_prune.methods.initial_weights import Reinitialised, Rescaled
from offline_prune.methods.inverted import inverted
from offline_prune.methods.iterative import Force, IterativeSnip, SynFlow
from offline_prune.methods.method import PruningMethod, PruningSettings, refuse_replacement
from offline_prune.methods.path_exclusion import PathExclusion
from offline_prune.methods.pops import PoPS
from offline_prune.methods.prospr import ProsPr
from offline_prune.methods.rigl import RigL
from offline_prune.methods.shuffled import Shuffled
from offline_prune.methods.single_shot import SingleShot
from offline_prune.methods.small_dense import SmallDense
from offline_prune.methods.snip_flow import SnipFlow
from offline_prune.methods.sparse_evolutionary import SparseEvolutionary
from offline_prune.methods.structured import Structured
from offline_prune.saliency import SALIENCIES

__all__ = [
    "METHODS",
    "MODIFIERS",
    "MethodLike",
    "PruningMethod",
    "PruningSettings",
    "SingleShot",
    "make_method",
    "refuse_replacement",
]

MethodLike: TypeAlias = str | Path | Mask | Callable[[PruningSettings], PruningMethod]
"""A name or expression, a saved mask, a mask, or a function of the settings.

Examples:
    >>> from offline_prune import score
    >>> mask = score("pendulum/mixture-v0", "bc", 0.9, method="shuffled(grasp)").mask
    >>> again = score("pendulum/mixture-v0", "bc", 0.9, method=mask)  # a mask is a method too
    >>> again.mask == mask
    True
"""

METHODS: Mapping[str, Callable[..., PruningMethod]] = {
    **{name: partial(SingleShot, saliency) for name, saliency in SALIENCIES.items()},
    "prospr": ProsPr,
    "iterative_snip": IterativeSnip,
    "force": Force,
    "synflow": SynFlow,
    "px": PathExclusion,
    "snip_flow": SnipFlow,
    "small_dense": SmallDense,
    "gmp": GradualMagnitude,
    "set": SparseEvolutionary,
    "rigl": RigL,
    "gates": BernoulliGates,
    "structured": Structured,
    "pops": PoPS,
}
"""Name → method of the settings; every saliency is a single-shot one of its name.

Examples:
    >>> from offline_prune.methods import METHODS
    >>> {"snip", "grasp", "synflow", "gmp", "rigl", "gates"} <= set(METHODS)
    True
"""

MODIFIERS: Mapping[str, Callable[..., PruningMethod]] = {
    "shuffled": Shuffled,
    "reinitialised": Reinitialised,
    "rescaled": Rescaled,
    "inverted": inverted,
    "corrupted": Corrupted,
}
"""Name → method around another one; ``"shuffled"`` alone is ``"shuffled(snip)"``.

Examples:
    >>> from offline_prune.methods import MODIFIERS
    >>> {"shuffled", "reinitialised", "inverted", "corrupted"} <= set(MODIFIERS)
    True
"""


def make_method(method: MethodLike, settings: PruningSettings) -> PruningMethod:
    """Make a pruning method.

    Args:
        method: A key of :data:`METHODS` or :data:`MODIFIERS`, or an expression of them:
            ``"force(rounds=20)"``, ``"shuffled(grasp)"``, ``"corrupted(snip, rewards)"``,
            ``"rescaled(shuffled(snip))"``; a mask, or the path of a saved one or of a
            saved result; or a function of the settings.
        settings: What the user asked for.

    Returns:
        The method.

    Raises:
        UnknownNameError: If there is no such method.
        InputError: If an expression cannot be read, or its arguments do not fit.
        MaskError: If a path holds no mask.

    Examples:
        >>> from offline_prune.methods import PruningSettings, make_method
        >>> method = make_method("shuffled(force(rounds=5))", PruningSettings({"actor": 0.9}))
        >>> type(method).__name__, method.while_training
        ('Shuffled', False)
    """
    if isinstance(method, Mask):
        return FixedMask(method, settings)
    if isinstance(method, Path) or (
        isinstance(method, str) and "(" not in method and ("/" in method or "." in method)
    ):
        path = Path(method)
        return FixedMask(Mask.load(path / "mask.safetensors" if path.is_dir() else path), settings)
    if isinstance(method, str):
        return _evaluate(parse(method), settings)
    if callable(method):
        try:
            made = method(settings)
        except TypeError as error:
            raise InputError(
                f"The function given as method cannot be called with PruningSettings: {error}."
            ) from error
        if not isinstance(made, PruningMethod):
            raise InputError(
                f"The function given as method returns {type(made).__name__}; expected a"
                " PruningMethod of the settings it takes."
            )
        return made
    raise InputError(
        "method is a name, an expression, a mask or the path of one, or a function of"
        f" PruningSettings, not {type(method).__name__}."
    )


def _evaluate(expression: Expression, settings: PruningSettings) -> PruningMethod:
    name, arguments = expression.name, expression.arguments
    try:
        if name in METHODS:
            return METHODS[name](settings, *arguments, **expression.options)
        if name in MODIFIERS:
            inner = arguments[0] if arguments else Expression("snip")
            if not isinstance(inner, Expression):
                raise InputError(f"{name}(...) takes a method first, not {inner!r}.")
            wrapped = _evaluate(inner, settings)
            refuse_replacement(wrapped, f"{name} has no mask to change")
            plain = expression.plain
            return MODIFIERS[name](wrapped, *plain.arguments[1:], **plain.options)
    except TypeError as error:
        raise InputError(f"{name} does not take these arguments: {error}.") from error
    raise UnknownNameError("pruning method", name, {*METHODS, *MODIFIERS})
