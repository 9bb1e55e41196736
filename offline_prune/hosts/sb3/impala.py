"""The IMPALA and Impoola image encoders, for Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Sequence

from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from offline_prune.encoders.impala import ImpalaEncoder, ImpalaTorso

__all__ = ["ImpalaFeatures"]


class ImpalaFeatures(BaseFeaturesExtractor):  # type: ignore[misc]
    """Images to features: the torso, a linear layer, a ReLU.

    ``PPO("CnnPolicy", env, policy_kwargs={"features_extractor_class": ImpalaFeatures})``; with
    ``"features_extractor_kwargs": {"pooled": True}`` it is Impoola.

    References:
        Espeholt et al. 2018, arXiv 1802.01561.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        features_dim: int = 256,
        filters: Sequence[int] = (16, 32, 32),
        pooled: bool = False,
    ) -> None:
        """Make the layers.

        Args:
            observation_space: Images, channels first.
            features_dim: Length of the features.
            filters: Channels of each stage.
            pooled: Average every channel over the image instead of flattening.
        """
        super().__init__(observation_space, features_dim)
        torso = ImpalaTorso(observation_space.shape, filters, pooled)
        self.encoder = ImpalaEncoder(torso, features_dim)

    def forward(self, observations: Tensor) -> Tensor:
        """(B, channels, H, W), scaled → (B, features_dim)."""
        features: Tensor = self.encoder(observations)
        return features
