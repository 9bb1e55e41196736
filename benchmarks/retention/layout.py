"""How numbers look on the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from offline_prune.evaluation.statistics import Estimate


def table(headings: str, rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown.

    Args:
        headings: Its first line, ``| a | b |``.
        rows: Cells.
    """
    lines = [headings, "|" + "---|" * (headings.count("|") - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def interval(found: Estimate | None, otherwise: str = "dense fails") -> str:
    """``value [low, high]``, two digits."""
    if found is None:
        return otherwise
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
