"""TD3+BC (Fujimoto and Gu 2021): d3rlpy's TD3PlusBCConfig."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_peers.adam import Moments, adam, no_moments
from jax_peers.networks import mlp, new_mlp, soft_update, values
from jax_peers.peer import BATCH_SIZE, GAMMA, TAU, Batch, Losses, Peer

__all__ = ["PEER", "State"]

LEARNING_RATE, ALPHA, ACTOR_INTERVAL = 3e-4, 2.5, 2
SMOOTHING_SIGMA, SMOOTHING_CLIP = 0.2, 0.5


class State(NamedTuple):
    """Parameters and moments."""

    actor: Any
    target_actor: Any
    critics: Any
    targets: Any
    actor_moments: Moments
    critic_moments: Moments


def create(key: Any, n_observations: int, n_actions: int) -> State:
    """The state to begin with."""
    actor_key, *critic_keys = jax.random.split(key, 3)
    actor = new_mlp(actor_key, n_observations, n_actions)
    critics = tuple(new_mlp(own, n_observations + n_actions, 1) for own in critic_keys)
    return State(actor, actor, critics, critics, no_moments(actor), no_moments(critics))


def draw(key: Any, n_actions: int) -> Any:
    """Standard normal numbers that smooth the target: (batch, action)."""
    return jax.random.normal(key, (BATCH_SIZE, n_actions))


def update(state: State, batch: Batch, noise: Any, step: Any) -> tuple[State, Losses]:
    """One step: critics; every second time the actor and the targets, too."""
    smoothing = jnp.clip(SMOOTHING_SIGMA * noise, -SMOOTHING_CLIP, SMOOTHING_CLIP)
    action = jnp.tanh(mlp(state.target_actor, batch.next_observations)) + smoothing
    bootstrap = values(state.targets, batch.next_observations, jnp.clip(action, -1, 1)).min(axis=0)
    wanted = batch.rewards + GAMMA * bootstrap * (1 - batch.terminals)

    def critic_loss_of(critics: Any) -> Any:
        found = values(critics, batch.observations, batch.actions)
        return ((found - wanted) ** 2).mean(axis=1).sum()

    critic_loss, gradient = jax.value_and_grad(critic_loss_of)(state.critics)
    critics, critic_moments = adam(state.critics, gradient, state.critic_moments, LEARNING_RATE)
    state = state._replace(critics=critics, critic_moments=critic_moments)
    state, losses = jax.lax.cond(
        step % ACTOR_INTERVAL == 0, actor_step, no_actor_step, state, batch
    )
    return state, {"critic_loss": critic_loss, **losses}


def actor_step(state: State, batch: Batch) -> tuple[State, Losses]:
    """The actor's step, and the targets'."""

    def actor_loss_of(actor: Any) -> tuple[Any, Any]:
        action = jnp.tanh(mlp(actor, batch.observations))
        found = values(state.critics[:1], batch.observations, action)
        scale = ALPHA / jax.lax.stop_gradient(jnp.abs(found).mean())
        bc_loss = ((batch.actions - action) ** 2).mean()
        return bc_loss - scale * found.mean(), bc_loss

    (actor_loss, bc_loss), gradient = jax.value_and_grad(actor_loss_of, has_aux=True)(state.actor)
    actor, moments = adam(state.actor, gradient, state.actor_moments, LEARNING_RATE)
    after = state._replace(
        actor=actor,
        actor_moments=moments,
        targets=soft_update(state.targets, state.critics, TAU),
        target_actor=soft_update(state.target_actor, actor, TAU),
    )
    return after, {"actor_loss": actor_loss, "bc_loss": bc_loss}


def no_actor_step(state: State, batch: Batch) -> tuple[State, Losses]:
    """The other times."""
    return state, {"actor_loss": jnp.nan, "bc_loss": jnp.nan}


PEER = Peer(create, draw, update)
