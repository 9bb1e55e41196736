"""Which networks the value-based algorithms of tianshou have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tianshou.algorithm.modelfree.dqn import QLearningOffPolicyAlgorithm
from tianshou.env.atari.atari_network import DQNet, RainbowNet, ScaledObsInputActionReprNet
from tianshou.utils.lagged_network import EvalModeModuleWrapper
from tianshou.utils.net.common import MLP, Net
from tianshou.utils.net.discrete import NoisyLinear
from torch import nn

from offline_prune.errors import AlgorithmError
from offline_prune.hosts.wiring import Part, weight_of

__all__ = ["check_algorithm", "layers_of", "noise_of", "value_parts"]

ROLE = "critic[0]"


def check_algorithm(algorithm: Any) -> None:
    """Refuse what is no value-based algorithm.

    Args:
        algorithm: Of tianshou.

    Raises:
        AlgorithmError: If it is another one.
    """
    if not isinstance(algorithm, QLearningOffPolicyAlgorithm):
        raise AlgorithmError(
            f"{type(algorithm).__name__} is not an algorithm of tianshou whose networks this"
            " package knows. Known: DQN, C51, RainbowDQN, QRDQN. PPO, SAC and others are pruned in"
            " Stable-Baselines3."
        )


def value_parts(model: Any) -> list[Part]:
    """The layers of a value network: from inputs to outputs, dueling streams apart.

    Args:
        model: ``policy.model``, or the target network ``model_old``.

    Returns:
        One part; of a dueling network one a stream. A model of another kind is one part whose
        wiring is not known.
    """
    while isinstance(model, EvalModeModuleWrapper | ScaledObsInputActionReprNet):
        model = model.module
    if isinstance(model, RainbowNet):
        streams = [model.Q, model.V] if model._is_dueling else [model.Q]
        return [Part(ROLE, (model.net, *s[:-1]), (s[-1],)) for s in map(list, streams)]
    if isinstance(model, DQNet):
        return [_split([model.net])]
    if isinstance(model, Net):
        streams = [model.Q, model.V] if model.use_dueling else []
        if not streams:
            return [_split([model.model])]
        heads = [_layers(stream) for stream in streams]
        return [Part(ROLE, (model.model, *layers[:-1]), (layers[-1],)) for layers in heads]
    return [Part(ROLE, (model,), ())]


def layers_of(module: nn.Module) -> Iterable[nn.Module] | None:
    """The layers that follow one another in a module.

    Args:
        module: A sequence, a multilayer perceptron, a layer.

    Returns:
        The layers without what only flattens; None of a module that is not known.
    """
    if isinstance(module, nn.Sequential | MLP):
        return _layers(module)
    known = weight_of(module) is not None or not list(module.parameters())
    return [module] if known and not list(module.children()) else None


def noise_of(model: nn.Module) -> dict[int, nn.Parameter]:
    """Standard deviations of noisy layers.

    Args:
        model: A network.

    Returns:
        ``id`` of the mean → σ, entry by entry that of the mean.
    """
    noisy = [module for module in model.modules() if isinstance(module, NoisyLinear)]
    return {id(module.mu_W): module.sigma_W for module in noisy}


def _layers(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, MLP):
        return _layers(module.model)
    if not isinstance(module, nn.Sequential):
        return [] if isinstance(module, nn.Flatten) else [module]
    return [layer for inner in module for layer in _layers(inner)]


def _split(modules: Iterable[nn.Module]) -> Part:
    """A part whose last layer with a weight is its head."""
    layers = [layer for module in modules for layer in _layers(module)]
    last = max(i for i, layer in enumerate(layers) if weight_of(layer) is not None)
    return Part(ROLE, tuple(layers[:last]), (layers[last],))
