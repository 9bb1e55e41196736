"""One colour, marker and line a method, the same in all figures of a report."""

from __future__ import annotations

from typing import Any

from offline_prune.reporting.analysis import Analysis

__all__ = ["DENSE_COLOUR", "KIND_TITLES", "MAX_TITLE", "line_style", "short"]

DENSE_COLOUR = "#1a1a1a"
"""Of the dense agent."""

KIND_TITLES = {"saliency": "saliencies", "control": "controls", "while training": "while training"}
"""Kind of method → title of the panel that shows it beside dense."""

MAX_TITLE = 46
"""Letters that fit above a panel half as wide as the page."""

# Okabe and Ito's without black and yellow, then Tol's muted: told apart by colour-blind readers
# in pairs, and by marker and line beyond that.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288",
            "#882255", "#999933", "#44AA99", "#661100")  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES: dict[str, Any] = {
    "dense": "-",
    "saliency": "-",
    "control": (0, (4, 1.5)),
    "while training": (0, (1.2, 1.2)),
}


def line_style(analysis: Analysis, label: str) -> dict[str, Any]:
    """Say how a method is drawn.

    The line tells the kind (full, dashed, dotted), colour and marker the method.

    Args:
        analysis: The study.
        label: Of the method.

    Returns:
        Options of matplotlib's ``plot``.
    """
    kind = analysis.kinds[label]
    if kind == "dense":
        return {"color": DENSE_COLOUR, "marker": "", "linestyle": "-"}
    number = [m for m in analysis.methods if analysis.kinds[m] != "dense"].index(label)
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": _LINES[kind],
    }


def short(text: str, length: int = MAX_TITLE) -> str:
    """Cut the middle out of a text that is too long.

    Args:
        text: The text.
        length: Letters that fit.

    Returns:
        The text, or its two ends.
    """
    if len(text) <= length:
        return text
    end = length // 2
    return f"{text[: length - end - 1]}…{text[-end:]}"
