"""Is there a gradient to score with, or only noise?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import check_seed, whole_number
from offline_prune.base.diagram import Diagram
from offline_prune.data import Dataset
from offline_prune.masks.layer_titles import layer_titles
from offline_prune.saliency.objective import Objective, Scores, mean_gradient
from offline_prune.saliency.scoring import score_networks

__all__ = ["GradientSignal", "gradient_signal"]


@dataclass(frozen=True)
class GradientSignal(Diagram):
    """Gradients of single mini-batches against their mean.

    Attributes:
        ratio: Weight name → signal-to-noise ratio ``‖ḡ‖² / mean_b ‖g_b − ḡ‖²`` of the
            layer's gradient, ḡ the mean over mini-batches; infinite without noise, 0
            without a gradient.
        norm: Weight name → ``‖ḡ‖``. Exactly 0 says that the layer cannot learn: GraSP
            can saturate a squashed policy.
        roles: Role → its weight names.

    Examples:
        >>> from offline_prune.diagnostics import GradientSignal
        >>> signal = GradientSignal({"fc": 0.5}, {"fc": 2.0}, {"actor": ("fc",)})
        >>> signal.ratio["fc"] < 1  # a mini-batch's gradient is more noise than signal
        True
    """

    ratio: Mapping[str, float]
    norm: Mapping[str, float]
    roles: Mapping[str, tuple[str, ...]]

    def _draw(self, axes: Any) -> None:
        """Bars of the ratio, a layer each, on a logarithmic axis."""
        titles = layer_titles(self.roles)
        for names in self.roles.values():
            axes.barh([titles[name] for name in names], [self.ratio[name] for name in names])
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.set(xscale="log", xlabel="signal-to-noise ratio of a mini-batch's gradient")
        axes.invert_yaxis()

    def _size(self) -> tuple[float, float]:
        return 6.0, 0.6 + 0.3 * len(self.ratio)


def gradient_signal(
    agent: Agent, data: Dataset, *, n_batches: int = 16, seed: int = 0
) -> GradientSignal:
    """Measure the signal in the gradients that saliencies are made of.

    Args:
        agent: The agent, dense or pruned, detached from a compact engine; nothing of it
            changes.
        data: The fixed dataset.
        n_batches: Mini-batches of 256, at least 2.
        seed: Of the mini-batches and the noise that losses draw.

    Returns:
        Ratios and norms, layer by layer.

    Raises:
        InputError: If there are fewer than two mini-batches: noise is seen over several.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune import load_dataset
        >>> from offline_prune.diagnostics import gradient_signal
        >>> signal = gradient_signal(scored.agent, load_dataset("pendulum/mixture-v0"), n_batches=4)
        >>> len(signal.ratio), min(signal.norm.values()) > 0
        (3, True)
    """
    n_batches, seed = whole_number("n_batches", n_batches, 2), check_seed(seed)
    ratio: dict[str, float] = {}
    norm: dict[str, float] = {}

    def measure(objective: Objective) -> Scores:
        gradients = [
            mean_gradient(Objective(objective.weights, [loss])) for loss in objective.losses
        ]
        for name in objective.weights:
            each = torch.stack([found[name] for found in gradients]).double()
            mean = each.mean(dim=0)
            noise = float((each - mean).square().flatten(1).sum(dim=1).mean())
            signal = float(mean.square().sum())
            norm[name] = signal**0.5
            ratio[name] = signal / noise if noise else (float("inf") if signal else 0.0)
        return {name: torch.zeros_like(weight) for name, weight in objective.weights.items()}

    score_networks(agent, data, measure, n_batches=n_batches, seed=seed)
    roles = {network.role: tuple(network.weights) for network in agent.networks}
    order = [name for names in roles.values() for name in names]
    return GradientSignal({n: ratio[n] for n in order}, {n: norm[n] for n in order}, roles)
