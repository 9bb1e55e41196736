"""What can be drawn; matplotlib is asked for only then."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from offline_prune.errors import OfflinePruneError

__all__ = ["Diagram", "legend_beside"]


def legend_beside(axes: Any) -> None:
    """Put the legend to the right of the axes, where it covers nothing.

    Args:
        axes: Matplotlib axes, everything drawn.
    """
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small",
        handlelength=1.2,
    )  # fmt: skip


class Diagram(ABC):
    """Plain data with a plot."""

    def plot(self, axes: Any | None = None) -> Any:
        """Draw it.

        Args:
            axes: Matplotlib axes; new ones if None.

        Returns:
            The axes.

        Raises:
            OfflinePruneError: If matplotlib is not installed.
        """
        if axes is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError as error:
                raise OfflinePruneError(
                    'Plots need matplotlib: pip install "offline-prune[plot]".'
                ) from error
            axes = plt.subplots(figsize=self._size(), layout="constrained")[1]
        self._draw(axes)
        return axes

    @abstractmethod
    def _draw(self, axes: Any) -> None: ...

    def _size(self) -> tuple[float, float]:
        """Width and height of a new figure, inches."""
        return 6.0, 3.5
