"""The dense agent behind all others: a line and a band."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from offline_prune.reporting.comparison import Comparison
from offline_prune.reporting.figures.style import DENSE_COLOUR

__all__ = ["draw_dense"]


def draw_dense(axes: Any, shown: Iterable[Comparison], *, upright: bool = False) -> dict[str, Any]:
    """Draw the dense agent's interquartile mean and interval across a panel.

    Args:
        axes: Matplotlib's.
        shown: The task's; without dense ones nothing is drawn.
        upright: Whether values lie on the x axis.

    Returns:
        Label → line, for a legend; empty if nothing was drawn.
    """
    dense = next((c for c in shown if c.group.kind == "dense"), None)
    if dense is None or dense.iqm is None:
        return {}
    line, span = (axes.axvline, axes.axvspan) if upright else (axes.axhline, axes.axhspan)
    if dense.interval is not None:
        span(dense.interval.low, dense.interval.high, color=DENSE_COLOUR, alpha=0.12, lw=0)
    return {"dense": line(dense.iqm, color=DENSE_COLOUR, lw=1.2)}
