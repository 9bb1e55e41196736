"""Blocks of neighbouring rows and columns stay or leave whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import whole_number
from offline_prune.errors import MaskError
from offline_prune.masks.structures.structure import Structure, places, put_last

__all__ = ["Blocks"]


@dataclass(frozen=True)
class Blocks(Structure):
    """The best blocks of ``rows`` outputs × ``columns`` inputs, by their mean scores.

    Formula: a weight is cut into blocks from its first row and column on; a kernel of a
    convolution belongs to one entry (output, input). A block's score is the mean of its
    weights'. Where sizes are no multiples, the last blocks of a row or column are smaller.

    Counts are exact: of the last block that the budget of a network (or of a layer, where
    the allocation gives each its own) reaches, only the highest scores are kept. All other
    blocks are kept or pruned whole. Ties go to the earlier block.

    Attributes:
        rows: Outputs of a block, at least 1.
        columns: Inputs of a block, at least 1.

    References:
        Narang, Undersander, Diamos 2017, arXiv 1711.02782.
    """

    rows: int = 4
    columns: int = 8

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: If one of them is no whole number from 1 on.
        """
        for name in ("rows", "columns"):
            whole = whole_number(f"{name} of a block", getattr(self, name), 1)
            object.__setattr__(self, name, whole)

    def check(self, agent: Agent, sparsity: Mapping[str, float]) -> None:
        """Refuse networks that hold no block.

        Raises:
            MaskError: If every layer of a network that is to be pruned is smaller than a block.
        """
        for network in agent.networks:
            shapes = [tuple(weight.shape) for weight in network.weights.values()]
            if sparsity[network.role] and not any(
                shape[0] >= self.rows and shape[1] >= self.columns for shape in shapes
            ):
                raise MaskError(
                    f"No layer of {network.role} holds a block of {self.rows} × {self.columns}:"
                    f" its weights are {shapes}. Ask for smaller blocks."
                )

    def ordered(
        self,
        agent: Agent,
        scores: Mapping[str, Mapping[str, Tensor]],
        sparsity: Mapping[str, float],
        within: Mapping[str, Tensor],
    ) -> dict[str, dict[str, Tensor]]:
        """Weights by the rank of their block, then by their score."""
        return {role: self._of_network(found, within) for role, found in scores.items()}

    def _of_network(
        self, scores: Mapping[str, Tensor], within: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        # What may not be kept adds nothing to its block.
        means = {
            name: self._means(torch.where(within[name], score, 0.0))
            for name, score in scores.items()
        }
        flat = torch.cat([mean.flatten() for mean in means.values()])
        low = min(float(score.min()) for score in scores.values())
        span = max(float(score.max()) for score in scores.values()) - low or 1.0
        parts = places(flat).split([mean.numel() for mean in means.values()])
        found = {}
        for (name, score), part in zip(scores.items(), parts, strict=True):
            place = part.view(means[name].shape)
            place = place.repeat_interleave(self.rows, 0).repeat_interleave(self.columns, 1)
            place = place[: score.shape[0], : score.shape[1]]
            place = place.reshape(*place.shape, *[1] * (score.dim() - 2))
            found[name] = 0.5 * (score.double() - low) / span - place
        return put_last(found, within)

    def _means(self, score: Tensor) -> Tensor:
        """(blocks of rows, blocks of columns), mean score."""
        entries = score.double().flatten(2).mean(dim=2) if score.dim() > 2 else score.double()
        total, count = self._sums(entries), self._sums(torch.ones_like(entries))
        return total / count

    def _sums(self, entries: Tensor) -> Tensor:
        rows, columns = entries.shape
        whole = pad(entries, (0, -columns % self.columns, 0, -rows % self.rows))
        cut = whole.view(len(whole) // self.rows, self.rows, -1, self.columns)
        return cut.sum(dim=(1, 3))
