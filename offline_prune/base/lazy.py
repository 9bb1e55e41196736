"""Names of a room that are imported when somebody first asks for one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazily"]


def lazily(
    room: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """What a room needs so that importing it imports none of its modules (PEP 562).

    Args:
        room: Its ``__name__``.
        homes: Public name → module that has it, from the room on.

    Returns:
        ``__getattr__``, ``__dir__`` and ``__all__`` of the room.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(import_module(f"{room}.{homes[name]}"), name)
        setattr(sys.modules[room], name, value)
        return value

    def listed() -> list[str]:
        return [*vars(sys.modules[room]), *homes]

    return get, listed, list(homes)
