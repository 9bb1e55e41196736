"""Check numbers and switches that a user passes; numpy's scalars count as Python's."""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

from offline_prune.errors import InputError

__all__ = [
    "check_seed",
    "check_switch",
    "finite_number",
    "folder_path",
    "in_one_line",
    "known",
    "shown",
    "whole_number",
]


def whole_number(name: str, value: Any, least: int) -> int:
    """Return a whole number as Python's ``int``.

    Args:
        name: What the number is, for the message.
        value: An int, or an integer of numpy.
        least: The smallest that is allowed.

    Returns:
        The same number.

    Raises:
        InputError: If it is anything else (``True`` and ``2.0`` included), or smaller.
    """
    is_bool = isinstance(value, bool | np.bool_)
    if is_bool or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f"{name} is a whole number from {least} on, not {shown(value)}.")
    return int(value)


def finite_number(name: str, value: Any) -> float:
    """Return a number as Python's ``float``.

    Args:
        name: What the number is, for the message.
        value: An int or a float, or a number of numpy.

    Returns:
        The same number.

    Raises:
        InputError: If it is anything else, NaN or infinite.
    """
    is_bool = isinstance(value, bool | np.bool_)
    with contextlib.suppress(OverflowError):  # of whole numbers beyond all floats
        if isinstance(value, numbers.Real) and not is_bool and math.isfinite(value):
            return float(value)
    raise InputError(f"{name} is a finite number, not {shown(value)}.")


def check_seed(seed: Any) -> int:
    """Return a seed as Python's ``int``.

    Args:
        seed: A whole number in [0, 2³²), as numpy and torch both take it.

    Returns:
        The same number.

    Raises:
        InputError: If it is anything else.
    """
    is_bool = isinstance(seed, bool | np.bool_)
    if is_bool or not isinstance(seed, numbers.Integral) or not 0 <= int(seed) < 2**32:
        raise InputError(f"seed is a whole number in [0, 2³²), not {shown(seed)}.")
    return int(seed)


def check_switch(name: str, value: Any) -> bool:
    """Return a switch as Python's ``bool``.

    Args:
        name: What it switches, for the message.
        value: A bool, or numpy's.

    Returns:
        The same.

    Raises:
        InputError: If it is anything else: ``"no"`` would count as true.
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} is True or False, not {shown(value)}.")
    return bool(value)


def folder_path(name: str, value: Any) -> Path:
    """Return the path of a folder, there already or to be made.

    Args:
        name: Of the argument, for the message.
        value: A path, or its text.

    Returns:
        The path.

    Raises:
        InputError: If it is no path, or something else is there.
    """
    try:
        possible = value != "" and stat.S_ISDIR(os.stat(Path(value)).st_mode)
    except FileNotFoundError:
        possible = True
    except (TypeError, ValueError, OSError):
        possible = False
    if not possible:
        found = shown(str(value) if isinstance(value, Path) else value)
        raise InputError(f"{name} is a folder, there already or to be made, not {found}.")
    return Path(value)


def in_one_line(error: BaseException) -> str:
    """An error of somebody else's as part of a message.

    Args:
        error: The error.

    Returns:
        Its kind and the first line of what it says, at most 300 letters.
    """
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def shown(value: Any) -> str:
    """A value for a message, cut off where it is long.

    Args:
        value: Anything.

    Returns:
        At most 80 characters.
    """
    try:
        text = repr(value)
    except ValueError:  # Python prints no whole number of more than 4 300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def known(value: float | None, form: str) -> str:
    """A number as text, or that it is not known.

    Args:
        value: The number, or None.
        form: How to format it.

    Returns:
        The text.
    """
    return "not known" if value is None else format(value, form)
