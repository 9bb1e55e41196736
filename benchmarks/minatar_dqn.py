"""DQN of Stable-Baselines3 on a game of MinAtar."""

from __future__ import annotations

import gymnasium
from gymnasium import spaces
from minatar_network import UNITS, body
from stable_baselines3 import DQN
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from offline_prune.hosts.sb3 import PruningCallback


class Features(BaseFeaturesExtractor):  # type: ignore[misc]
    """MinAtar's own network."""

    def __init__(self, observation_space: spaces.Box, width: int) -> None:
        """Make the layers."""
        super().__init__(observation_space, UNITS * width)
        self.layers = body(observation_space.shape, width)

    def forward(self, observations: Tensor) -> Tensor:
        """(B, channels, 10, 10) → (B, 128 · width)."""
        features: Tensor = self.layers(observations)
        return features


def train(game: str, width: int, sparsity: float, seed: int, n_steps: int) -> tuple[DQN, nn.Module]:
    """Train one agent; it, and the network that is pruned."""
    kwargs = {"features_extractor_class": Features, "net_arch": [],
              "features_extractor_kwargs": {"width": width}}  # fmt: skip
    model = DQN(
        "CnnPolicy", gymnasium.make(game), learning_rate=2.5e-4, buffer_size=100_000,
        learning_starts=5000, batch_size=32, train_freq=4, target_update_interval=1000,
        exploration_fraction=0.25, exploration_final_eps=0.05, policy_kwargs=kwargs, seed=seed,
        device="cpu",
    )  # fmt: skip
    callback = PruningCallback("gmp", sparsity, seed=seed) if sparsity else None
    model.learn(n_steps, callback=callback)
    return model, model.q_net
