"""Do masks agree with one another by more than chance?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.base.diagram import Diagram
from offline_prune.errors import MaskError
from offline_prune.masks.mask import Mask

__all__ = ["Overlap", "overlap"]


@dataclass(frozen=True)
class Overlap(Diagram):
    """Pairwise overlap of masks of the same networks.

    Attributes:
        labels: What each mask is.
        jaccard: (M, M) ``|A ∩ B| / |A ∪ B|`` of the nominal masks.
        chance: (M, M) the overlap of random masks with the same layer densities,
            ``Σ_l n_l a_l b_l / Σ_l n_l (a_l + b_l − a_l b_l)`` for densities a and b of
            layers of n weights: agreement about densities alone.

    Examples:
        >>> from offline_prune import score
        >>> from offline_prune.diagnostics import overlap
        >>> masks = {
        ...     name: score("pendulum/mixture-v0", "bc", 0.9, method=name).mask
        ...     for name in ("snip", "random")
        ... }
        >>> found = overlap(masks)
        >>> found.labels, found.jaccard.shape, float(found.jaccard[0, 0])
        (('snip', 'random'), (2, 2), 1.0)
    """

    labels: tuple[str, ...]
    jaccard: NDArray[np.float64]
    chance: NDArray[np.float64]

    def _draw(self, axes: Any) -> None:
        """A matrix of overlaps, chance in brackets."""
        axes.imshow(self.jaccard, vmin=0.0, vmax=1.0, cmap="Blues")
        for (i, j), value in np.ndenumerate(self.jaccard):
            color = "white" if value > 0.6 else "black"
            text = f"{value:.2f}\n({self.chance[i, j]:.2f})"
            axes.text(j, i, text, ha="center", va="center", color=color, fontsize="small")
        places = range(len(self.labels))
        axes.set(xticks=places, yticks=places, yticklabels=self.labels)
        axes.set_xticklabels(self.labels, rotation=45, ha="right")

    def _size(self) -> tuple[float, float]:
        return (1.5 + 0.8 * len(self.labels),) * 2


def overlap(masks: Mapping[str, Mask]) -> Overlap:
    """Compare masks of the same networks, pair by pair.

    Args:
        masks: Label → mask; ``mask["actor"]`` compares one network.

    Returns:
        Overlaps, and what chance gives.

    Raises:
        MaskError: If there is no mask, or they belong to different networks.

    Examples:
        >>> from offline_prune import score
        >>> from offline_prune.diagnostics import overlap
        >>> masks = {
        ...     name: score("pendulum/mixture-v0", "bc", 0.9, method=name).mask
        ...     for name in ("snip", "random")
        ... }
        >>> found = overlap(masks)
        >>> bool(found.jaccard[0, 1] < 0.5)  # a random mask keeps other weights
        True
    """
    if not masks:
        raise MaskError("There is no mask to compare.")
    found = list(masks.values())
    jaccard = np.array([[a.jaccard(b) for b in found] for a in found])
    chance = np.array([[_chance(a, b) for b in found] for a in found])
    return Overlap(tuple(masks), jaccard, chance)


def _chance(a: Mask, b: Mask) -> float:
    both, either = 0.0, 0.0
    for name, kept in a.nominal.items():
        n, p, q = kept.numel(), float(kept.float().mean()), float(b.nominal[name].float().mean())
        both += n * p * q
        either += n * (p + q - p * q)
    return both / either
