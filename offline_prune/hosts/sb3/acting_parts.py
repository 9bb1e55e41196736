"""The networks with which a policy of Stable-Baselines3 acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.torch_layers import MlpExtractor
from torch import Tensor, nn

from offline_prune.errors import AlgorithmError, UnsupportedExportError

__all__ = ["ActingParts", "acting_parts"]


@dataclass(frozen=True)
class ActingParts:
    """What ``policy.predict(…, deterministic=True)`` computes with, in order.

    Attributes:
        extractor: The features extractor; reads what ``preprocess_obs`` makes of an observation.
        hidden: What reads the features.
        head: Reads that; its outputs decide on the action.
        tanh: Whether a tanh follows the head.
        limit: The head's outputs are clipped to ±limit before the tanh; None where they are not.
        quantiles: Quantiles of each action's value among the outputs, (quantiles · actions).
    """

    extractor: nn.Module
    hidden: tuple[nn.Module, ...]
    head: nn.Module
    tanh: bool = False
    limit: float | None = None
    quantiles: int = 1


def acting_parts(policy: Any) -> ActingParts:
    """Find the networks of a policy.

    Args:
        policy: A policy of Stable-Baselines3 or sb3-contrib, or of a class derived from one.

    Returns:
        Its own modules.

    Raises:
        UnsupportedExportError: If the policy remembers (recurrent ones) or takes masks of actions.
        AlgorithmError: If it is of no class that is known here.
    """
    kinds = [f"{kind.__module__}.{kind.__name__}" for kind in type(policy).__mro__]
    for kind in kinds:
        if kind in _REFUSED:
            raise UnsupportedExportError(_REFUSED[kind])
        if kind in _PARTS:
            return _PARTS[kind](policy)
    raise AlgorithmError(
        f"{type(policy).__name__} is no policy that is known here. Expected one of A2C, ARS,"
        " CrossQ, DDPG, DQN, PPO, QRDQN, SAC, TD3, TQC, TRPO, or of a class derived from theirs."
    )


class _Forward(nn.Module):
    """The part of an ``mlp_extractor`` of one's own that the actor reads."""

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, features: Tensor) -> Tensor:
        latent: Tensor = self.extractor.forward_actor(features)
        return latent


def _actor_critic(policy: Any) -> ActingParts:
    extractor = policy.mlp_extractor
    plain = type(extractor) is MlpExtractor
    hidden = tuple(extractor.policy_net) if plain else (_Forward(extractor),)
    tanh = policy.squash_output
    return ActingParts(policy.pi_features_extractor, hidden, policy.action_net, tanh)


def _squashed_gaussian(policy: Any) -> ActingParts:
    actor, limit = policy.actor, None
    head: Any = actor.mu
    if isinstance(head, nn.Sequential):  # gSDE clips the mean
        clip: Any = head[1]
        limit, head = float(clip.max_val), head[0]
    return ActingParts(actor.features_extractor, tuple(actor.latent_pi), head, True, limit)


def _deterministic(policy: Any) -> ActingParts:
    actor = policy.actor
    *hidden, head, _ = actor.mu  # the last is a tanh
    return ActingParts(actor.features_extractor, tuple(hidden), head, True)


def _q_values(policy: Any) -> ActingParts:
    *hidden, head = policy.q_net.q_net
    return ActingParts(policy.q_net.features_extractor, tuple(hidden), head)


def _quantiles(policy: Any) -> ActingParts:
    *hidden, head = policy.quantile_net.quantile_net
    extractor = policy.quantile_net.features_extractor
    return ActingParts(extractor, tuple(hidden), head, quantiles=policy.quantile_net.n_quantiles)


def _random_search(policy: Any) -> ActingParts:
    layers = list(policy.action_net)
    tanh = policy.squash_output
    *hidden, head = layers[:-1] if tanh else layers
    return ActingParts(policy.features_extractor, tuple(hidden), head, tanh)


_PARTS: Mapping[str, Callable[[Any], ActingParts]] = {
    "stable_baselines3.common.policies.ActorCriticPolicy": _actor_critic,
    "stable_baselines3.dqn.policies.DQNPolicy": _q_values,
    "stable_baselines3.sac.policies.SACPolicy": _squashed_gaussian,
    "stable_baselines3.td3.policies.TD3Policy": _deterministic,
    "sb3_contrib.ars.policies.ARSPolicy": _random_search,
    "sb3_contrib.crossq.policies.CrossQPolicy": _squashed_gaussian,
    "sb3_contrib.qrdqn.policies.QRDQNPolicy": _quantiles,
    "sb3_contrib.tqc.policies.TQCPolicy": _squashed_gaussian,
}
"""Class → its parts; A2C, PPO and TRPO share one policy, TD3 and DDPG another."""

_REFUSED: Mapping[str, str] = {
    "sb3_contrib.common.recurrent.policies.RecurrentActorCriticPolicy": (
        "RecurrentPPO acts by what it has seen before in the episode, and the policies written"
        " here are functions of one observation. Train PPO on stacked frames (VecFrameStack)"
        " instead."
    ),
    "sb3_contrib.common.maskable.policies.MaskableActorCriticPolicy": (
        "MaskablePPO takes the mask of allowed actions beside the observation, and the policies"
        " written here are functions of the observation alone. Its files would choose actions"
        " that are not allowed."
    ),
}
