"""Models of Stable-Baselines3 on spaces of this size, pruned at random, with biases that matter."""

import copy
import functools

import gymnasium
import numpy as np
import sb3_contrib as contrib
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from offline_prune.hosts.sb3.acting_parts import acting_parts
from offline_prune.hosts.sb3.impala import ImpalaFeatures

VECTOR = spaces.Box(-2.0, 3.0, (5,))
IMAGE = spaces.Box(0, 255, (36, 40, 3), np.uint8)
GOAL = spaces.Dict({"observation": VECTOR, "achieved": spaces.Box(-1, 1, (2, 2)),
                    "wanted": spaces.Box(-np.inf, np.inf, (2,))})  # fmt: skip
CAMERA = spaces.Dict({"eye": IMAGE, "arm": VECTOR})
NUMBER = spaces.Discrete(3)
VALUES = spaces.Box(np.array([-1, -3], np.float32), np.array([2, 5], np.float32))

SMALL = {"policy_kwargs": {"net_arch": [24, 24]}}
STORING = {**SMALL, "buffer_size": 4, "learning_starts": 2}
QUANTILES = {**STORING, "policy_kwargs": {"net_arch": [24, 24], "n_quantiles": 7}}
GSDE = {**SMALL, "use_sde": True}
SQUASHED = {**GSDE, "policy_kwargs": {"net_arch": [24, 24], "squash_output": True}}

MODELS = {
    "PPO": (sb3.PPO, NUMBER, SMALL),
    "A2C": (sb3.A2C, VALUES, SMALL),
    "PPO, gSDE": (sb3.PPO, VALUES, GSDE),
    "PPO, squashed": (sb3.PPO, VALUES, SQUASHED),
    "DQN": (sb3.DQN, NUMBER, STORING),
    "SAC": (sb3.SAC, VALUES, STORING),
    "SAC, gSDE": (sb3.SAC, VALUES, {**STORING, "use_sde": True}),
    "TD3": (sb3.TD3, VALUES, STORING),
    "DDPG": (sb3.DDPG, VALUES, STORING),
    "QRDQN": (contrib.QRDQN, NUMBER, QUANTILES),
    "TQC": (contrib.TQC, VALUES, STORING),
    "TRPO": (contrib.TRPO, NUMBER, SMALL),
    "ARS": (contrib.ARS, VALUES, SMALL),
    "CrossQ": (contrib.CrossQ, VALUES, STORING),
}


class Still(gymnasium.Env):
    """An environment of these spaces that does nothing."""

    def __init__(self, seen, acted):
        # VecNormalize writes into Dict spaces.
        self.observation_space, self.action_space = copy.deepcopy(seen), acted

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


def model(name, space=VECTOR, kind="MlpPolicy", density=0.3, **changes):
    """A model of MODELS, pruned."""
    make, acted, options = MODELS[name]
    options = copy.deepcopy({**options, **changes})  # algorithms write into policy_kwargs
    built = make(kind, Still(space, acted), seed=0, device="cpu", **options)
    prune(built.policy, density)
    if space is VECTOR and acted is NUMBER:
        _let_actions_vary(built.policy)
    return built


class InOrder(BaseFeaturesExtractor):
    """Layers in order that were assigned in another one."""

    def __init__(self, space):
        super().__init__(space, 12)
        self.last, self.first = nn.Linear(9, 12), nn.Linear(5, 9)

    def forward(self, x):
        return torch.tanh(self.last(torch.relu(self.first(x.flatten(1)))))


class Halves(nn.Module):
    """As an ``mlp_extractor`` of one's own in the manual of Stable-Baselines3."""

    latent_dim_pi = latent_dim_vf = 8

    def __init__(self):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
        self.critic = nn.Linear(5, 8)

    def forward(self, x):
        return self.forward_actor(x), self.forward_critic(x)

    def forward_actor(self, x):
        return self.actor(x)

    def forward_critic(self, x):
        return self.critic(x)


class Custom(sb3.ppo.MlpPolicy):
    def _build_mlp_extractor(self):
        self.mlp_extractor = Halves()


def impala(pooled, **policy_kwargs):
    """A2C on images with a small IMPALA or Impoola."""
    own = {"features_dim": 12, "filters": (4, 6), "pooled": pooled}
    kwargs = {"features_extractor_class": ImpalaFeatures, "features_extractor_kwargs": own}
    return model("A2C", IMAGE, "CnnPolicy", policy_kwargs=kwargs | policy_kwargs)


@torch.no_grad()
def _let_actions_vary(policy):
    """Centre what the head puts out, lest one action win everywhere."""
    parts = acting_parts(policy)
    before = nn.Sequential(parts.extractor, *parts.hidden)
    parts.head.bias -= parts.head(before(torch.from_numpy(seen()))).mean(dim=0)


@torch.no_grad()
def prune(policy, density):
    """Zero weights at random and whole rows and columns besides; move every bias."""
    generator = torch.Generator().manual_seed(0)
    for layer in policy.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            weight = layer.weight
            weight.copy_(torch.randn(weight.shape, generator=generator))
            weight *= 1.5 / (density * weight[0].numel()) ** 0.5
            weight *= torch.rand(weight.shape, generator=generator) < density
            if density < 1 and len(weight) > 8:
                weight[1::7] = 0.0
            if layer.bias is not None:
                layer.bias.copy_(0.2 * torch.randn(layer.bias.shape, generator=generator))


@functools.cache
def seen(n=64):
    """Observations of VECTOR."""
    rng = np.random.default_rng(1)
    return rng.uniform(VECTOR.low, VECTOR.high, (n, 5)).astype(np.float32)
