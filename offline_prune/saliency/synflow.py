"""SynFlow: how much flow from inputs to outputs passes through a weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from offline_prune.agents.agent import Agent
from offline_prune.agents.topology import Chain
from offline_prune.errors import AlgorithmError
from offline_prune.saliency.objective import Scores

__all__ = ["synflow"]


def synflow(agent: Agent) -> dict[str, Scores]:
    """Score a weight by the synaptic flow through it; no data, no loss.

    Formula: ``score = |w · ∂R/∂w|`` with ``R = 1ᵀ (Π_l |W_l|) 1``: the sum of all head
    outputs of the network of absolute weights for an input of ones, biases and
    activations left out, heads taken before they are squashed. The scores into a hidden
    unit add up to those out of it, and those of every layer to R.

    Pruned in one shot it keeps the flow no better than magnitude; see
    :class:`~offline_prune.methods.iterative.SynFlow`.

    Args:
        agent: The agent; its weights as they are now, pruned ones zero.

    Returns:
        Role → weight name → non-negative float64 score of the weight's shape.

    Raises:
        AlgorithmError: If the wiring of a network is not known.

    References:
        Tanaka, Kunin, Yamins, Ganguli 2020, arXiv 2006.05467.
    """
    scores: Scores = {}
    shape = tuple(agent.algo.impl.observation_shape)
    for chain in agent.chains:
        scores |= _flow(chain, shape)
    if missing := [name for name in agent.weights if name not in scores]:
        raise AlgorithmError(
            f"SynFlow follows every weight from inputs to outputs; how {missing[0]!r} is"
            " wired is not known (custom encoders, layer normalisation, distributional"
            " heads). Use a method that scores on data, such as snip."
        )
    return {net.role: {n: scores[n] for n in net.weights} for net in agent.networks}


def _flow(chain: Chain, observation_shape: tuple[int, ...]) -> Scores:
    layers = [layer for stage in chain.stages for layer in stage.layers]
    absolute = {
        layer.name: layer.module.weight.detach().abs().double().requires_grad_() for layer in layers
    }
    first = layers[0].module
    is_image = isinstance(first, nn.Conv2d)
    shape = observation_shape if is_image else (first.weight.shape[1],)
    h = torch.ones(1, *shape, dtype=torch.float64, device=first.weight.device)
    for stage in chain.stages:
        h = torch.cat([_apply(layer.module, absolute[layer.name], h) for layer in stage.layers], 1)
    gradients = torch.autograd.grad(h.sum(), list(absolute.values()), materialize_grads=True)
    return {
        name: (weight.detach() * gradient).abs()
        for (name, weight), gradient in zip(absolute.items(), gradients, strict=True)
    }


def _apply(module: nn.Linear | nn.Conv2d, weight: Tensor, h: Tensor) -> Tensor:
    """The layer with other weights and no bias; missing columns are inputs of ones."""
    if isinstance(module, nn.Conv2d):
        return nn.functional.conv2d(
            h,
            weight,
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            groups=module.groups,
        )
    h = h.flatten(1)
    appended = h.new_ones(1, weight.shape[1] - h.shape[1])  # an action beside the features
    return nn.functional.linear(torch.cat([h, appended], dim=1), weight)
