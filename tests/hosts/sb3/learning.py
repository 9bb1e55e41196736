"""Small models of Stable-Baselines3, and what they hold."""

import copy

import torch
from sb3_contrib import QRDQN, TQC
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.envs import FakeImageEnv

from offline_prune.hosts.sb3.impala import ImpalaFeatures

_WIDTHS = {"net_arch": [24, 16]}
_OFF_POLICY = {
    "learning_starts": 40,
    "batch_size": 16,
    "buffer_size": 500,
    "policy_kwargs": _WIDTHS,
}
_PPO = {"n_steps": 32, "batch_size": 16, "n_epochs": 2}

MODELS = {
    "ppo": (PPO, "CartPole-v1", _PPO),
    "ppo_box": (PPO, "Pendulum-v1", _PPO),
    "a2c": (A2C, "CartPole-v1", {}),
    "dqn": (DQN, "CartPole-v1", _OFF_POLICY | {"train_freq": 1, "target_update_interval": 20}),
    "sac": (SAC, "Pendulum-v1", _OFF_POLICY),
    "td3": (TD3, "Pendulum-v1", _OFF_POLICY),
    "ddpg": (DDPG, "Pendulum-v1", _OFF_POLICY),
    "qrdqn": (
        QRDQN,
        "CartPole-v1",
        _OFF_POLICY | {"train_freq": 1, "policy_kwargs": _WIDTHS | {"n_quantiles": 5}},
    ),
    "tqc": (TQC, "Pendulum-v1", _OFF_POLICY | {"policy_kwargs": _WIDTHS | {"n_quantiles": 5}}),
}
"""Name → class, environment, arguments."""

ALGORITHMS = tuple(name for name in MODELS if name != "ppo_box")

IMPALA = {
    "features_extractor_class": ImpalaFeatures,
    "features_extractor_kwargs": {"filters": (4, 8), "features_dim": 16},
}


def model_of(name, seed=0, **more):
    kind, environment, arguments = MODELS[name]
    # They change what they are given.
    arguments = copy.deepcopy({"device": "cpu"} | arguments | more)
    return kind("MlpPolicy", environment, seed=seed, **arguments)


def image_model(kind, device="cpu", **policy_kwargs):
    images = FakeImageEnv(screen_height=40, screen_width=40, n_channels=1, discrete=True)
    images.observation_space.seed(0)
    arguments = _PPO if kind is PPO else _OFF_POLICY | {"train_freq": 4}
    arguments = arguments | {"policy_kwargs": copy.deepcopy(policy_kwargs)}
    return kind("CnnPolicy", images, seed=0, device=device, **arguments)


def parameters(model):
    """Name → parameter's value, of policy and targets, and the optimizers' moments."""
    found = {name: p.detach().clone() for name, p in model.policy.state_dict().items()}
    for number, optimizer in enumerate(optimizers(model)):
        for i, state in optimizer.state_dict()["state"].items():
            found |= {f"{number}.{i}.{key}": torch.as_tensor(value) for key, value in state.items()}
    return found


def optimizers(model):
    owners = (model.policy, getattr(model, "actor", None), getattr(model, "critic", None))
    found = [getattr(owner, "optimizer", None) for owner in owners]
    return [optimizer for optimizer in found if optimizer is not None]
