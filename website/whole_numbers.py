"""Hook: a line is not broken within ``7 465``, ``95 %``, ``± 151``, ``[.95, .99]``, ``256-256``."""

from __future__ import annotations

import re

__all__ = ["on_page_content", "whole_numbers"]

_PLACE = re.compile(
    r"<(code|pre|svg)\b.*?</\1>|<[^>]*>"  # stays as it is
    r"|(?P<space>(?<=\d) (?=%|×|±|\d{3}(?!\d)|– \d|(?:[kKM]i?B|GB|B|ms|µs)\b)"
    r"|(?<=[±–]) (?=\d)|(?<=,) (?=[-+−]?\.?\d[\d.]*\]))"
    r"|(?P<hyphens>\b(?:\d+(?:-\d+)+|[A-Z]\w+-v\d)\b)",
    re.DOTALL,
)


def on_page_content(html: str, **_: object) -> str:
    """Do so on every page."""
    return whole_numbers(html)


def whole_numbers(html: str) -> str:
    """HTML in which numbers and names of environments do not break; code stays.

    Args:
        html: Of a page.

    Returns:
        The same with no-break spaces, and a span around what has hyphens.
    """
    return _PLACE.sub(_whole, html)


def _whole(match: re.Match[str]) -> str:
    if match["hyphens"]:
        return f'<span class="whole">{match[0]}</span>'
    return "\u00a0" if match["space"] else match[0]
