"""Noise of pruned weights: a noisy layer's standard deviations are masked as its means are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from offline_prune.engines.optimizers import is_moment
from offline_prune.engines.zeros import hold_at_zero

__all__ = ["HeldNoise"]


class HeldNoise:
    """Keeps σ at zero where the mean's weight is pruned.

    A noisy layer computes with ``μ + σ ⊙ ε``: with μ alone at zero its weight would still be
    noise. Where a weight returns, its σ starts at 0.

    References:
        Fortunato et al. 2018, arXiv 1706.10295.
    """

    def __init__(
        self,
        online: Mapping[str, nn.Parameter],
        targets: Mapping[str, nn.Parameter],
        kept: Mapping[str, Tensor],
        optimizers: Iterable[Optimizer],
    ) -> None:
        """Zero σ, its moments and its gradients from now on.

        Args:
            online: Name of the mean → its σ.
            targets: The same of the target network.
            kept: Name → boolean, true = kept.
            optimizers: Those that step σ.
        """
        self._handles: list[RemovableHandle] = []
        optimizers = list(optimizers)
        for name, noise in online.items():
            pruned = ~kept[name].to(noise.device)
            if not bool(pruned.any()):
                continue
            states = [optimizer.state.get(noise, {}) for optimizer in optimizers]
            moments = [m for s in states for m in s.values() if is_moment(m, noise)]
            zeroed = [noise, noise.grad, targets.get(name), *moments]
            with torch.no_grad():
                for tensor in zeroed:
                    if tensor is not None:
                        tensor.masked_fill_(pruned, 0.0)
            self._handles.append(hold_at_zero(noise, pruned))

    def undo(self) -> None:
        """Let go; zeros stay."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
