"""Pruned agents with dead units at both ends of their layers and biases that matter."""

import functools

import d3rlpy
import torch
from d3rlpy.models import VectorEncoderFactory
from torch import nn

from offline_prune.agents import build_agent
from tests.worlds import agent, dataset

VECTOR, DISCRETE = "vector-continuous", "vector-discrete"
TWO_OF_24 = VectorEncoderFactory([24, 24])
ACTOR_CRITIC = {"actor_encoder_factory": TWO_OF_24, "critic_encoder_factory": TWO_OF_24}

CONFIGS = {
    "sac": (VECTOR, functools.partial(d3rlpy.algos.SACConfig, **ACTOR_CRITIC)),
    "td3": (VECTOR, functools.partial(d3rlpy.algos.TD3Config, **ACTOR_CRITIC)),
    "stochastic bc": (
        VECTOR,
        functools.partial(
            d3rlpy.algos.BCConfig, policy_type="stochastic", encoder_factory=TWO_OF_24
        ),
    ),
    "dqn": (DISCRETE, functools.partial(d3rlpy.algos.DQNConfig, encoder_factory=TWO_OF_24)),
    "double dqn of two critics": (
        DISCRETE,
        functools.partial(d3rlpy.algos.DoubleDQNConfig, encoder_factory=TWO_OF_24, n_critics=2),
    ),
    "discrete bcq of two critics": (
        DISCRETE,
        functools.partial(d3rlpy.algos.DiscreteBCQConfig, encoder_factory=TWO_OF_24, n_critics=2),
    ),
}


def pruned(kind, algo, density=0.3):
    """An algorithm of tests.worlds, pruned at random."""
    subject = agent(kind, algo, whole=True)
    prune(subject, density)
    return subject.algo


def built(config, kind=VECTOR, density=0.3):
    """The algorithm of a d3rlpy config, pruned at random."""
    subject = build_agent(dataset(kind), config).agent
    prune(subject, density)
    return subject.algo


def named(name):
    """(algorithm, observations) of CONFIGS."""
    kind, make = CONFIGS[name]
    return built(make(), kind), dataset(kind).observations


@torch.no_grad()
def too_coarse_for_bytes():
    """Weights of one row so different that the small ones vanish, though they matter."""
    algo, observations = named("td3")
    x = observations.copy()
    x[:, 0] = 1.0
    for layer in (m for m in algo.impl.modules.policy.modules() if isinstance(m, nn.Linear)):
        layer.weight.mul_(4.0)
    first, _, second, _ = algo.impl.modules.policy._encoder._layers
    first.weight[0], first.bias[0] = torch.eye(5)[0], 0.0  # 1 on all of x
    second.weight[:, 0] = 3000.0
    second.bias -= 3000.0
    return algo, x


@torch.no_grad()
def prune(subject, density, seed=0):
    """Zero weights at random; kill units by their inputs and others by their readers."""
    generator = torch.Generator().manual_seed(seed)
    for weight in subject.weights.values():
        weight *= torch.rand(weight.shape, generator=generator) < density
    for chain in subject.chains if density < 1 else ():
        for stage, reader in zip(chain.stages, chain.stages[1:], strict=False):
            stage.layers[0].module.weight[1::7] = 0.0
            for layer in reader.layers:
                layer.module.weight[:, 2 * reader.repeat : 4 * reader.repeat] = 0.0
    for module in subject.algo.impl.modules.get_torch_modules().values():
        for name, parameter in module.named_parameters():
            if "bias" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    _let_outputs_vary(subject)


def _let_outputs_vary(subject):
    """Standardise layers one by one: images of noise average out, and one action wins."""
    algo = subject.algo
    discrete = algo.get_action_type() == d3rlpy.ActionSpace.DISCRETE
    pixels = len(algo.impl.observation_shape) == 3
    if not (discrete or pixels):
        return
    kind = f"{'pixel' if pixels else 'vector'}-{'discrete' if discrete else 'continuous'}"
    x = torch.tensor(dataset(kind).observations).float()
    if algo.config.observation_scaler is not None:
        x = algo.config.observation_scaler.transform(x)
    for chain in subject.chains:
        layers = [layer.module for stage in chain.stages for layer in stage.layers]
        if layers[0].weight.shape[1] != x.shape[1] or any(
            "WithAction" in type(owner._encoder).__name__ for owner in chain.owners
        ):
            continue  # a critic of states and actions
        y = x
        for stage in chain.stages:
            if stage.layers[0].module.weight.dim() == 2:
                y = y.flatten(1)
            for layer in stage.layers:
                _standardise(layer.module, y)
            y = stage.activate(stage.layers[0].module(y))


def _standardise(layer, x):
    """Outputs of variance 1 about the old bias; constants stay as they are."""
    y = layer(x).transpose(0, 1).flatten(1)
    mean, std = y.mean(dim=1), y.std(dim=1)
    varies = std > 1e-4
    scale = torch.where(varies, 1 / std, 1.0)
    layer.weight *= scale.view([-1] + [1] * (layer.weight.dim() - 1))
    shift = torch.where(varies, (layer.bias - mean) * scale, layer.bias)
    is_head = len(layer.bias) <= 3
    layer.bias.copy_(shift if is_head else shift + 0.3 * varies * layer.bias.sign())
