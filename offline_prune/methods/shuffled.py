"""Control: the same layer densities, other weights."""

from __future__ import annotations

from typing import ClassVar

import torch

from offline_prune.agents.agent import Agent
from offline_prune.masks.build import mask_from_kept
from offline_prune.masks.mask import Mask
from offline_prune.methods.wrapped import WrappedMethod

__all__ = ["Shuffled"]


class Shuffled(WrappedMethod):
    """Shuffle another method's mask within every layer.

    A mask that is worth more than its layer densities must beat this one. No structure is
    left of it.

    References:
        Frankle et al. 2021, arXiv 2009.08576; Su et al. 2020, arXiv 2009.11094.
    """

    structures: ClassVar[frozenset[str]] = frozenset()

    def change(self, agent: Agent, mask: Mask) -> Mask:
        """Draw a random order of every layer's entries."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        shuffled = {}
        for name, kept in mask.nominal.items():
            order = torch.randperm(kept.numel(), generator=generator)
            shuffled[name] = kept.flatten()[order].view(kept.shape)
        return mask_from_kept(agent, shuffled)
