"""What SynFlow and PX share: the flow through a stack of layers whose wiring is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from offline_prune.agents.agent import Agent
from offline_prune.agents.topology import POOLING, Chain
from offline_prune.errors import AlgorithmError
from offline_prune.saliency.objective import Scores

__all__ = ["by_network", "flow", "flow_shares", "layer_input", "layer_output", "shares"]


def flow(
    chain: Chain,
    weights: Mapping[str, Tensor],
    observation_shape: tuple[int, ...],
    readout: Tensor | None = None,
) -> Scores:
    """Share of every weight in the flow through a linear stack, ``|m · ∂R/∂m|``.

    ``R = Σ_k u_k z_k``: z are the outputs of the stack with weights m for inputs of ones,
    biases and activations left out, pooling left in, heads taken before they are squashed.

    Args:
        chain: The stack.
        weights: Weight name → m, not negative.
        observation_shape: Of the agent.
        readout: u, one number an output; all 1 if not given.

    Returns:
        Weight name → non-negative float64 score of the weight's shape. Where no action
        joins on the way, every layer's add up to R.
    """
    weights = {name: weights[name].detach().double() for name in chain.weight_names}
    for weight in weights.values():
        weight.requires_grad_()
    first = chain.stages[0].layers[0].module
    shape = observation_shape if isinstance(first, nn.Conv2d) else (first.in_features,)
    h = torch.ones(1, *shape, dtype=torch.float64, device=first.weight.device)
    for stage in chain.stages:
        read = layer_input(stage.layers[0].module, h, h.new_ones(1, 1))
        h = torch.cat(
            [layer_output(layer.module, weights[layer.name], read) for layer in stage.layers], 1
        )
        for module in (module for module in stage.after if isinstance(module, POOLING)):
            h = module(h)
    total = h.sum() if readout is None else (h * readout).sum()
    gradients = torch.autograd.grad(total, list(weights.values()), materialize_grads=True)
    return {
        name: (weight.detach() * gradient).abs()
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }


def shares(chain: Chain, scores: Scores) -> Scores:
    """Scores of a stack as parts of its whole flow, so that every layer's add up to 1.

    Of two stacks under one threshold (a VAE's encoder and decoder) one would else be
    emptied before the other, and the faster, the fewer paths it has left.

    Args:
        chain: The stack.
        scores: What :func:`flow` found.

    Returns:
        The scores over R; as they are where no path is left.
    """
    heads = [scores[layer.name] for layer in chain.stages[-1].layers]
    total = torch.stack([score.sum() for score in heads]).sum()
    if not bool(total > 0.0):
        return scores
    return {name: score / total for name, score in scores.items()}


def flow_shares(
    agent: Agent,
    weights: Mapping[str, Tensor],
    method: str,
    readout: Callable[[Chain], Tensor | None] | None = None,
) -> dict[str, Scores]:
    """Share of every weight of an agent in the flow through its stack.

    Args:
        agent: The agent.
        weights: Weight name → m, not negative.
        method: Whose scores, for the message.
        readout: Stack → u, as :func:`flow` takes it; all 1 if not given.

    Returns:
        Role → weight name → non-negative float64 score of the weight's shape.

    Raises:
        AlgorithmError: If the wiring of a network is not known.
    """
    shape = agent.host.observation_shape
    scores: Scores = {}
    for chain in agent.paths:
        read = None if readout is None else readout(chain)
        scores |= shares(chain, flow(chain, weights, shape, read))
    return by_network(agent, scores, method)


def layer_input(module: nn.Linear | nn.Conv2d, h: Tensor, joining: Tensor) -> Tensor:
    """What a layer reads of the outputs of the stage before.

    Args:
        module: The layer.
        h: Those outputs, (B, units) or (B, channels, H, W).
        joining: The network's other input (an action), (B, A), or (B, 1) to stand for any
            length; it joins where a linear layer has more columns than ``h`` fills.

    Returns:
        (B, inputs of the layer).
    """
    if isinstance(module, nn.Conv2d):
        return h
    h = h.flatten(1)
    missing = module.in_features - h.shape[1]
    return torch.cat([h, joining.expand(-1, missing)], dim=1) if missing else h


def layer_output(module: nn.Linear | nn.Conv2d, weight: Tensor, read: Tensor) -> Tensor:
    """The layer with another weight and no bias.

    Args:
        module: The layer.
        weight: Of its weight's shape.
        read: What it reads.

    Returns:
        Its outputs.
    """
    if isinstance(module, nn.Conv2d):
        return nn.functional.conv2d(
            read,
            weight,
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            groups=module.groups,
        )
    return nn.functional.linear(read, weight)


def by_network(agent: Agent, scores: Scores, method: str) -> dict[str, Scores]:
    """Sort the scores of all chains by network.

    Args:
        agent: The agent.
        scores: Weight name → score.
        method: Whose scores, for the message.

    Returns:
        Role → weight name → score.

    Raises:
        AlgorithmError: If a weight has no score: its wiring is not known.
    """
    if missing := [name for name in agent.weights if name not in scores]:
        raise AlgorithmError(
            f"{method} follows every weight from inputs to outputs; how {missing[0]!r} is"
            " wired is not known (custom encoders, distributional heads, transformers; for PX,"
            " layer normalisation). Use a method that scores on data, such as snip."
        )
    return {net.role: {n: scores[n] for n in net.weights} for net in agent.networks}
