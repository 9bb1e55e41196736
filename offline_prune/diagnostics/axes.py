"""Matplotlib, asked for only when something is drawn."""

from __future__ import annotations

from typing import Any

from offline_prune.errors import OfflinePruneError

__all__ = ["axes_or_new"]


def axes_or_new(axes: Any | None, width: float = 6.0, height: float = 3.5) -> Any:
    """The axes given, or new ones.

    Args:
        axes: Matplotlib axes or None.
        width: Of a new figure, inches.
        height: Of a new figure, inches.

    Returns:
        Matplotlib axes.

    Raises:
        OfflinePruneError: If matplotlib is not installed.
    """
    if axes is not None:
        return axes
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise OfflinePruneError(
            'Plots need matplotlib: pip install "offline-prune[plot]".'
        ) from error
    return plt.subplots(figsize=(width, height), layout="constrained")[1]
