"""Lists for the terminal: an entry a line, or one entry whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["one_line_each", "whole"]

_WIDTH = 80


def one_line_each(entries: Mapping[str, str]) -> str:
    """Write a list that fits 80 columns.

    Args:
        entries: Name → what it is; cut where the line ends.

    Returns:
        The lines.
    """
    column = max(map(len, entries)) + 2
    lines = (f"{name:{column}}{text}" for name, text in entries.items())
    return "\n".join(x if len(x) <= _WIDTH else x[: _WIDTH - 1].rstrip() + "…" for x in lines)


def whole(entry: Any) -> str:
    """Write all fields of a recipe.

    Args:
        entry: A dataclass.

    Returns:
        A field a line; empty ones are left out.
    """
    fields = dataclasses.asdict(entry)
    column = max(map(len, fields)) + 2
    said = (f"{n.replace('_', ' '):{column}}{_text(v)}" for n, v in fields.items() if _text(v))
    return "\n".join(said)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    return "" if value is None else str(value)
