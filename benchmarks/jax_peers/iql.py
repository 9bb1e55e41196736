"""Implicit Q-learning (Kostrikov et al. 2021): d3rlpy's IQLConfig."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_peers.adam import Moments, adam, no_moments
from jax_peers.networks import mlp, new_mlp, soft_update, values
from jax_peers.peer import GAMMA, TAU, Batch, Losses, Peer

__all__ = ["PEER", "State"]

LEARNING_RATE, EXPECTILE, WEIGHT_TEMPERATURE, MAX_WEIGHT = 3e-4, 0.7, 3.0, 100.0
MIN_LOG_STD, MAX_LOG_STD = -5.0, 2.0


class State(NamedTuple):
    """Parameters and moments; the critics' optimizer has the value function, too."""

    actor: Any
    log_std: Any
    critics: Any
    value: Any
    targets: Any
    actor_moments: Moments
    critic_moments: Moments


def create(key: Any, n_observations: int, n_actions: int) -> State:
    """The state to begin with."""
    actor_key, value_key, *critic_keys = jax.random.split(key, 4)
    actor, log_std = new_mlp(actor_key, n_observations, n_actions), jnp.zeros((1, n_actions))
    critics = tuple(new_mlp(own, n_observations + n_actions, 1) for own in critic_keys)
    value = new_mlp(value_key, n_observations, 1)
    return State(
        actor,
        log_std,
        critics,
        value,
        critics,
        no_moments((actor, log_std)),
        no_moments((critics, value)),
    )


def draw(key: Any, n_actions: int) -> None:
    """Nothing is drawn."""


def log_density(actor: Any, log_std: Any, observations: Any, actions: Any) -> Any:
    """``log π(a | s)`` of a Gaussian around tanh μ(s), with one σ for all states: (batch,)."""
    mean = jnp.tanh(mlp(actor, observations))
    bounded = MIN_LOG_STD + jax.nn.sigmoid(log_std) * (MAX_LOG_STD - MIN_LOG_STD)
    return jax.scipy.stats.norm.logpdf(actions, mean, jnp.exp(bounded)).sum(axis=1)


def update(state: State, batch: Batch, noise: None, step: Any) -> tuple[State, Losses]:
    """One step: critics and value function, then the actor, then the targets."""
    bootstrap = mlp(state.value, batch.next_observations)[:, 0]
    wanted = batch.rewards + GAMMA * bootstrap * (1 - batch.terminals)
    of_targets = values(state.targets, batch.observations, batch.actions).min(axis=0)

    def critic_loss_of(parameters: Any) -> tuple[Any, Losses]:
        critics, value = parameters
        found = values(critics, batch.observations, batch.actions)
        q_loss = ((found - wanted) ** 2).mean(axis=1).sum()
        difference = of_targets - mlp(value, batch.observations)[:, 0]
        weight = jnp.abs(EXPECTILE - (jax.lax.stop_gradient(difference) < 0))
        v_loss = (weight * difference**2).mean()
        return q_loss + v_loss, {"q_loss": q_loss, "v_loss": v_loss}

    (critic_loss, losses), gradient = jax.value_and_grad(critic_loss_of, has_aux=True)(
        (state.critics, state.value)
    )
    (critics, value), critic_moments = adam(
        (state.critics, state.value), gradient, state.critic_moments, LEARNING_RATE
    )
    advantage = of_targets - mlp(value, batch.observations)[:, 0]
    weight = jnp.minimum(jnp.exp(WEIGHT_TEMPERATURE * advantage), MAX_WEIGHT)

    def actor_loss_of(parameters: Any) -> Any:
        actor, log_std = parameters
        return -(weight * log_density(actor, log_std, batch.observations, batch.actions)).mean()

    actor_loss, gradient = jax.value_and_grad(actor_loss_of)((state.actor, state.log_std))
    (actor, log_std), actor_moments = adam(
        (state.actor, state.log_std), gradient, state.actor_moments, LEARNING_RATE
    )
    targets = soft_update(state.targets, critics, TAU)
    after = State(actor, log_std, critics, value, targets, actor_moments, critic_moments)
    return after, {"critic_loss": critic_loss, "actor_loss": actor_loss, **losses}


PEER = Peer(create, draw, update)
