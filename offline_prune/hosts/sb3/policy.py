"""The acting policy of a model of Stable-Baselines3, as a module of plain layers."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from offline_prune.acting.in_order import layers_in_order
from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import ArgmaxRule, MeanRule, Rescale, Rule, TanhRule
from offline_prune.acting.stacks import compact_layers, frozen
from offline_prune.acting.traced import remove_unread_units
from offline_prune.agents.network import is_prunable
from offline_prune.agents.reparameterised import refuse_reparameterised
from offline_prune.compaction.layers import fill_layer
from offline_prune.errors import InputError, UnsupportedExportError
from offline_prune.hosts.sb3.acting_parts import ActingParts, acting_parts
from offline_prune.hosts.sb3.combined import combined_extractor
from offline_prune.hosts.sb3.impala import ImpalaFeatures
from offline_prune.hosts.sb3.reading import Reading
from offline_prune.hosts.sb3.statistics import normalized_parts, normalizing_scale

__all__ = ["sb3_policy"]


def sb3_policy(
    policy: Any, reading: Reading, normalization: VecNormalize | None = None
) -> ActingPolicy:
    """Build what ``policy.predict(…, deterministic=True)`` computes, dead units left out.

    Weights that are exactly zero count as pruned. Networks whose ``forward`` is one layer after
    the other are compacted, and IMPALA and Impoola lose the channels that nobody reads; a features
    extractor of other wiring is copied whole. The mean of quantiles becomes part of the last
    layer.

    Args:
        policy: Of Stable-Baselines3 or sb3-contrib; it stays as it is.
        reading: How observations are read.
        normalization: Whose statistics come first; None for none.

    Returns:
        The policy, on the CPU. It shares no tensor with the model.

    Raises:
        AlgorithmError: If the policy is not known, or a layer's weight is computed from others.
        UnsupportedExportError: If it remembers, takes masks, has an extractor of one's own for
            a Dict, or actions are several numbers or switches.
        InputError: If images would be normalised twice.

    Warns:
        WholeEncoderWarning: If channels could leave and Torch-Pruning is missing.
    """
    parts = acting_parts(policy)
    refuse_reparameterised([("policy", policy)])
    rule, action_scale, action_size = _actions(policy, parts)
    images = {name for name, part in reading.parts.items() if is_image_space(part)}
    divided = images if policy.normalize_images else set()
    scale = Rescale(0.0, 255.0, 1.0, 0.0) if "" in divided else None
    if normalization is not None:
        if divided & (normalized_parts(normalization)):
            raise InputError(
                "The model divides images by 255 itself, so it was not trained on normalised ones:"
                " leave normalization out."
            )
        scale = normalizing_scale(normalization, reading)
    shape = reading.shape
    if reading.channels_last:
        shape = (shape[-1], *shape[:-1])
    extractor = parts.extractor
    if isinstance(policy.observation_space, spaces.Dict):
        extractor = combined_extractor(extractor, reading, divided)
    whole = frozen(nn.Sequential(extractor, *parts.hidden, parts.head))
    weights = _weights_in_use(whole, shape)
    return ActingPolicy(
        scale,
        [_compacted(whole, parts.quantiles, shape)],
        rule,
        action_scale,
        observation_shape=reading.shape,
        action_size=action_size,
        n_weights=sum(weight.numel() for weight in weights),
        n_nonzero=sum(int(weight.count_nonzero()) for weight in weights),
        channels_last=reading.channels_last,
    )


def _actions(policy: Any, parts: ActingParts) -> tuple[Rule, Rescale | None, int]:
    """From outputs to actions, and how many numbers or actions there are."""
    space = policy.action_space
    if isinstance(space, spaces.Discrete):
        return ArgmaxRule(int(space.n)), None, int(space.n)
    if not isinstance(space, spaces.Box):
        raise UnsupportedExportError(
            f"Actions of {type(space).__name__} are several numbers at once; the policies written"
            " here choose one action or a vector of real numbers. Train with a Discrete or a Box"
            " space of actions."
        )
    low, high = space.low.ravel(), space.high.ravel()
    if policy.squash_output:
        scale = Rescale(-1.0, 2.0, high - low, low)
    else:
        scale = Rescale(0.0, 1.0, 1.0, 0.0, (low, high))
    rule = TanhRule(parts.limit) if parts.tanh else MeanRule()
    return rule, scale, len(low)


def _weights_in_use(network: nn.Module, shape: tuple[int, ...]) -> list[Tensor]:
    """Prunable weights that one pass uses, each once."""
    used: dict[int, Tensor] = {}

    def note(layer: Any, *_: object) -> None:
        used[id(layer)] = layer.weight.detach()

    handles = [m.register_forward_hook(note) for m in network.modules() if is_prunable(m)]
    with torch.no_grad():
        network(torch.zeros(1, *shape))
    for handle in handles:
        handle.remove()
    return list(used.values())


def _compacted(whole: nn.Sequential, quantiles: int, shape: tuple[int, ...]) -> nn.Module:
    """A features extractor, hidden layers and a head without units that do nothing."""
    extractor, *hidden, head = whole
    if quantiles > 1:
        head = _mean_of_quantiles(head, quantiles)
    behind = nn.Sequential(*hidden, head)
    layers = layers_in_order(nn.Sequential(extractor, behind))
    if layers is not None:
        if len(shape) == 1 and layers and isinstance(layers[0], nn.Flatten):
            layers = layers[1:]
        if (network := compact_layers(layers)) is not None:
            return network
    features = layers_in_order(extractor) or [extractor]
    layers = layers_in_order(behind)
    tail = (None if layers is None else compact_layers(layers)) or behind
    if isinstance(extractor, ImpalaFeatures):
        network = nn.Sequential(extractor.encoder, *tail)
        remove_unread_units(network, extractor.encoder, [tail[-1]], shape)
        return network
    return nn.Sequential(*features, *tail)


@torch.no_grad()
def _mean_of_quantiles(head: Any, quantiles: int) -> nn.Linear:
    """A layer that puts out the mean of what each action's quantiles are."""
    weight, bias = (
        values.double().unflatten(0, (quantiles, -1)).mean(dim=0).float()
        for values in (head.weight, head.bias)
    )
    mean = nn.Linear(1, 1, device="meta")
    fill_layer(mean, weight, bias)
    return mean
