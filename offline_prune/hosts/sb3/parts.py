"""Which networks the algorithms of Stable-Baselines3 have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn
from torch.optim import Optimizer

from offline_prune.acting.in_order import layers_in_order
from offline_prune.errors import AlgorithmError
from offline_prune.hosts.wiring import Part

__all__ = ["Trained", "clock_of", "layers_of", "optimizers_of", "trained_parts"]


@dataclass(frozen=True)
class Trained:
    """A network of a model.

    Attributes:
        online: What is trained.
        target: Its target network; None without.
        optimizer: What steps it.
    """

    online: Part
    target: Part | None
    optimizer: Optimizer


def trained_parts(model: Any) -> list[Trained]:
    """The networks of a model.

    Args:
        model: A Stable-Baselines3 or sb3-contrib model.

    Returns:
        Actor first, then critics or the value network. A features extractor that several
        networks share belongs to the first of them.

    Raises:
        AlgorithmError: If it is none of PPO, A2C, DQN, SAC, TD3, DDPG, QR-DQN and TQC, or its
            ``mlp_extractor`` is one's own and keeps no two networks.
    """
    policy = model.policy
    if type(model).__name__ in ("TRPO", "RecurrentPPO", "ARS", "CrossQ"):
        raise _unknown(model)
    if isinstance(policy, ActorCriticPolicy):
        pi, vf = _two_networks(policy.mlp_extractor)
        actor = Part("actor", (policy.pi_features_extractor, pi), (policy.action_net,))
        value = Part("value", (policy.vf_features_extractor, vf), (policy.value_net,))
        return [Trained(part, None, policy.optimizer) for part in (actor, value)]
    if isinstance(policy, DQNPolicy):
        return [_q_network(policy, "q_net")]
    if hasattr(policy, "quantile_net"):
        return [_q_network(policy, "quantile_net")]
    if isinstance(policy, SACPolicy) or type(model).__name__ == "TQC":
        actor = _squashed_actor(policy.actor)
        return [Trained(actor, None, policy.actor.optimizer), *_critics(policy)]
    if isinstance(policy, TD3Policy):
        target = _deterministic_actor(policy.actor_target)
        actor = _deterministic_actor(policy.actor)
        return [Trained(actor, target, policy.actor.optimizer), *_critics(policy)]
    raise _unknown(model)


def optimizers_of(model: Any) -> list[Optimizer]:
    """All optimizers that a model's training steps, the entropy coefficient's among them.

    Args:
        model: A model that :func:`trained_parts` knows.

    Returns:
        Each once.
    """
    own = [part.optimizer for part in trained_parts(model)]
    if (entropy := getattr(model, "ent_coef_optimizer", None)) is not None:
        own.append(entropy)
    return list(dict.fromkeys(own))


def clock_of(model: Any) -> Optimizer:
    """The optimizer that steps once a gradient step, at a time when no graph needs the weights.

    SAC and TQC build the actor's graph before the critics step, so theirs is the actor's, the
    last to step. TD3's and DDPG's actor may wait a step: theirs is the critics', before the actor's
    graph is built.

    Args:
        model: A model that :func:`trained_parts` knows.

    Returns:
        One of its optimizers.
    """
    parts = trained_parts(model)
    has_delayed_actor = isinstance(model.policy, TD3Policy)
    return parts[-1 if has_delayed_actor else 0].optimizer


def layers_of(module: nn.Module) -> list[nn.Module] | None:
    """The layers that follow one another in a module, as exports read them.

    Args:
        module: A features extractor, a sequence, a layer.

    Returns:
        The layers without what only flattens; None where ``forward`` is anything else.
    """
    found = layers_in_order(nn.Sequential(module))
    return None if found is None else [m for m in found if not isinstance(m, nn.Flatten)]


def _two_networks(extractor: Any) -> tuple[nn.Module, nn.Module]:
    try:
        return extractor.policy_net, extractor.value_net
    except AttributeError:
        raise AlgorithmError(
            f"{type(extractor).__name__} is an mlp_extractor of your own, and which layers the"
            " actor and the value network read is not known. Name them policy_net and value_net,"
            " as Stable-Baselines3's own MlpExtractor does."
        ) from None


def _q_network(policy: Any, name: str) -> Trained:
    def part(network: Any) -> Part:
        *layers, head = getattr(network, name)
        return Part("critic[0]", (network.features_extractor, *layers), (head,))

    target = part(getattr(policy, f"{name}_target"))
    return Trained(part(getattr(policy, name)), target, policy.optimizer)


def _squashed_actor(actor: Any) -> Part:
    # With state-dependent exploration mu is a sequence, and log_std no layer.
    found = [layer for head in (actor.mu, actor.log_std) for layer in _linear(head)]
    return Part("actor", (actor.features_extractor, actor.latent_pi), tuple(found))


def _deterministic_actor(actor: Any) -> Part:
    *layers, head, _ = actor.mu  # the last is tanh
    return Part("actor", (actor.features_extractor, *layers), (head,))


def _critics(policy: Any) -> Sequence[Trained]:
    online, target = policy.critic, policy.critic_target
    return [
        Trained(_critic(i, online, own), _critic(i, target, twin), online.optimizer)
        for i, (own, twin) in enumerate(zip(online.q_networks, target.q_networks, strict=True))
    ]


def _critic(number: int, critic: Any, network: Any) -> Part:
    *layers, head = network
    trunk = (critic.features_extractor, *layers)
    return Part(f"critic[{number}]", trunk, (head,), int(critic.action_space.shape[0]))


def _linear(head: Any) -> list[nn.Linear]:
    found = head.modules() if isinstance(head, nn.Module) else ()
    return [module for module in found if isinstance(module, nn.Linear)]


def _unknown(model: Any) -> AlgorithmError:
    return AlgorithmError(
        f"{type(model).__name__} with a {type(model.policy).__name__} is not a model whose networks"
        " this package knows. Known: PPO, A2C, DQN, SAC, TD3 and DDPG of Stable-Baselines3, QR-DQN"
        " and TQC of sb3-contrib."
    )
