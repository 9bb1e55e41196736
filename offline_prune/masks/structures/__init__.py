"""What kept weights have in common besides their scores: one file a structure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from offline_prune.base.expression import parse
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.masks.structures.blocks import Blocks
from offline_prune.masks.structures.n_of_m import NOfM
from offline_prune.masks.structures.structure import Structure
from offline_prune.masks.structures.units import FewerUnits

__all__ = ["STRUCTURES", "Structure", "check_structure", "kind_of", "make_structure"]

STRUCTURES: Mapping[str, Callable[..., Structure]] = {
    "units": FewerUnits,
    "block": Blocks,
    "n:m": NOfM,
}
"""Name → structure of its arguments; ``"n:m"`` is written with its numbers, ``"2:4"``.

Examples:
    >>> from offline_prune.masks import STRUCTURES
    >>> sorted(STRUCTURES)
    ['block', 'n:m', 'units']
"""

_PAIR = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")
_EXAMPLES = "'units', 'units(density=0.3)', 'block(4, 8)' or '2:4'"


def make_structure(text: str) -> Structure:
    """Read a structure.

    Args:
        text: ``"units"``, ``"units(density=0.3)"``; ``"block"``, ``"block(4, 8)"``,
            ``"block(rows=4, columns=8)"``; or two numbers, ``"2:4"``.

    Returns:
        The structure.

    Raises:
        UnknownNameError: If there is no such structure.
        InputError: If the text cannot be read, or an argument does not exist or has a
            wrong value.
    """
    if not isinstance(text, str):
        raise InputError(f"structure is {_EXAMPLES}, not {type(text).__name__}.")
    if pair := _PAIR.fullmatch(text):
        return NOfM(int(pair[1]), int(pair[2]))
    if ":" in text:
        raise InputError(
            f"{text[:80]!r} is no n:m structure: write how many of how many, such as '2:4'."
        )
    found = parse(text, "structure of a mask", _EXAMPLES)
    if found.name not in STRUCTURES:
        raise UnknownNameError("structure", found.name, STRUCTURES)
    try:
        return STRUCTURES[found.name](*found.arguments, **found.options)
    except TypeError as error:
        raise InputError(f"{found.name} does not take these arguments: {error}.") from error


def check_structure(text: str) -> None:
    """Check the text of a structure by itself.

    Args:
        text: As :func:`make_structure` takes it.

    Raises:
        InputError: If there is no such structure.
    """
    make_structure(text)


def kind_of(structure: Structure) -> str:
    """The name of a structure in :data:`STRUCTURES`.

    Args:
        structure: One of them.

    Returns:
        Its name.
    """
    return next(name for name, made in STRUCTURES.items() if type(structure) is made)
