"""How many mini-batches does a stable mask need?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import check_seed, shown, whole_number
from offline_prune.base.diagram import Diagram, legend_beside
from offline_prune.data import Dataset
from offline_prune.errors import InputError
from offline_prune.masks.allocation import Allocation
from offline_prune.masks.build import build_mask
from offline_prune.masks.checks import check_request
from offline_prune.saliency.objective import Saliency
from offline_prune.saliency.scoring import Average, score_networks

__all__ = ["Stability", "score_stability"]


@dataclass(frozen=True)
class Stability(Diagram):
    """Overlap of masks from different draws of the same number of mini-batches.

    Attributes:
        n_batches: Numbers of mini-batches.
        jaccard: Role → mean overlap over pairs of draws, for each number.

    Examples:
        >>> from offline_prune.diagnostics import Stability
        >>> stability = Stability((1, 8), {"actor": (0.5, 0.8)})
        >>> dict(zip(stability.n_batches, stability.jaccard["actor"]))
        {1: 0.5, 8: 0.8}
    """

    n_batches: tuple[int, ...]
    jaccard: Mapping[str, tuple[float, ...]]

    def _draw(self, axes: Any) -> None:
        """A line a network, overlap over mini-batches."""
        for role, values in self.jaccard.items():
            axes.plot(self.n_batches, values, marker="o", label=role)
        axes.set(xscale="log", xlabel="mini-batches of 256", ylabel="overlap of two draws")
        axes.set(xticks=self.n_batches, xticklabels=self.n_batches, ylim=(0.0, 1.0))
        axes.minorticks_off()
        legend_beside(axes)


def score_stability(
    agent: Agent,
    data: Dataset,
    saliency: Saliency,
    sparsity: float | Mapping[str, float],
    *,
    n_batches: Sequence[int] = (1, 2, 4, 8),
    draws: int = 3,
    allocation: Allocation = "global",
    average: Average = "gradients",
    seed: int = 0,
) -> Stability:
    """Score on different draws of the dataset, and compare the masks.

    Args:
        agent: The agent; nothing of it changes.
        data: The fixed dataset.
        saliency: What scores the weights.
        sparsity: Fraction of the prunable weights to remove.
        n_batches: Numbers of mini-batches to try.
        draws: Draws for each number, at least 2.
        allocation: How the kept weights are spread over the layers.
        average: What is averaged over the mini-batches.
        seed: Of the first draw.

    Returns:
        The overlaps.

    Raises:
        InputError: If there are fewer than two draws, or another number is out of range.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune import load_dataset
        >>> from offline_prune.diagnostics import score_stability
        >>> from offline_prune.saliency import SALIENCIES
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> stability = score_stability(
        ...     scored.agent, data, SALIENCIES["snip"], 0.9, n_batches=(1, 2), draws=2
        ... )
        >>> all(0 <= overlap <= 1 for overlap in stability.jaccard["actor"])
        True
    """
    draws, seed = whole_number("draws", draws, 2), check_seed(seed)
    if not isinstance(n_batches, Sequence) or isinstance(n_batches, str | bytes):
        raise InputError(f"n_batches is a list of whole numbers, not {shown(n_batches)}.")
    n_batches = [whole_number("n_batches", count, 1) for count in n_batches]
    asked = check_request(agent, sparsity, allocation)
    found: dict[str, list[float]] = {role: [] for role in agent.roles}
    for count in n_batches:
        masks = []
        for draw in range(draws):
            scores = score_networks(
                agent, data, saliency, n_batches=count, seed=seed + 10_000 * draw, average=average
            )
            masks.append(build_mask(agent, scores, asked, allocation))
        for role in agent.roles:
            pairs = [a[role].jaccard(b[role]) for a, b in combinations(masks, 2)]
            found[role].append(float(np.mean(pairs)))
    return Stability(tuple(n_batches), {role: tuple(values) for role, values in found.items()})
