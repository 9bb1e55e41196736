"""Requests that memory cannot hold, and how that is said."""

from __future__ import annotations

import os

from offline_prune.errors import InputError

__all__ = ["check_room", "ran_out"]

_SAID = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")


def check_room(what: str, size: int) -> None:
    """Refuse what is larger than the memory of this machine.

    Less may still be too much, beside everything else; that is not told here, because a
    system promises what it does not have.

    Args:
        what: What would need it, for the message.
        size: Bytes.

    Raises:
        InputError: If it is; says how much was asked for.
    """
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not known here, as on Windows
        there = 2**47  # beyond what processors address
    if size > there:
        asked = f"{size / 2**30:,.0f} GiB" if size < 2**80 else "more than 10¹⁵ GiB"
        raise InputError(
            f"{what} would take {asked} of memory; there are {there / 2**30:,.0f} GiB. Ask for"
            " fewer."
        )


def ran_out(error: BaseException) -> bool:
    """Whether Python, numpy or torch raised this because there was not enough memory.

    Args:
        error: What was raised; torch has no type of its own for the CPU.

    Returns:
        Whether it is that.
    """
    return isinstance(error, MemoryError) or any(said in str(error) for said in _SAID)
