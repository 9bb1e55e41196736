"""Hook: a line is not broken within a number, ``7 465``, ``95 %``, ``± 151`` or ``[.95, .99]``."""

from __future__ import annotations

import re

__all__ = ["on_page_content", "whole_numbers"]

_PLACE = re.compile(
    r"<(code|pre|svg)\b.*?</\1>|<[^>]*>"  # stays as it is
    r"|(?P<space>(?<=\d) (?=%|×|±|\d{3}(?!\d))|(?<=±) (?=\d)|(?<=,) (?=[-+−]?\.?\d[\d.]*\]))",
    re.DOTALL,
)


def on_page_content(html: str, **_: object) -> str:
    """Do so on every page."""
    return whole_numbers(html)


def whole_numbers(html: str) -> str:
    """HTML in which the spaces inside numbers do not break; code stays.

    Args:
        html: Of a page.

    Returns:
        The same with no-break spaces.
    """
    return _PLACE.sub(lambda m: "\u00a0" if m["space"] else m[0], html)
