"""Conservative Q-learning (Kumar et al. 2020): d3rlpy's CQLConfig."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_peers.adam import Moments, adam, no_moments
from jax_peers.networks import mlp, new_mlp, soft_update, values
from jax_peers.peer import BATCH_SIZE, GAMMA, TAU, Batch, Losses, Peer

__all__ = ["PEER", "Noise", "State"]

ACTOR_RATE, CRITIC_RATE, DUAL_RATE = 1e-4, 3e-4, 1e-4
ALPHA_THRESHOLD, CONSERVATIVE_WEIGHT, SAMPLES, MAX_ALPHA = 10.0, 5.0, 10, 1e6
MIN_LOG_STD, MAX_LOG_STD = -20.0, 2.0


class State(NamedTuple):
    """Parameters and moments; the actor's outputs are means, then log σ."""

    actor: Any
    critics: Any
    targets: Any
    log_temperature: Any
    log_alpha: Any
    actor_moments: Moments
    critic_moments: Moments
    temperature_moments: Moments
    alpha_moments: Moments


class Noise(NamedTuple):
    """What one update draws.

    Attributes:
        here: (samples, batch, action) standard normal, for actions at the observations.
        there: The same, for actions at the next ones.
        uniform: (batch, samples, action) in ±1, actions themselves.
        actor: (batch, action) standard normal.
    """

    here: Any
    there: Any
    uniform: Any
    actor: Any


def create(key: Any, n_observations: int, n_actions: int) -> State:
    """The state to begin with."""
    actor_key, *critic_keys = jax.random.split(key, 3)
    actor = new_mlp(actor_key, n_observations, 2 * n_actions)
    critics = tuple(new_mlp(own, n_observations + n_actions, 1) for own in critic_keys)
    zero = jnp.zeros(())
    moments = (no_moments(part) for part in (actor, critics, zero, zero))
    return State(actor, critics, critics, zero, zero, *moments)


def draw(key: Any, n_actions: int) -> Noise:
    """The noise of one update."""
    here, there, uniform, actor = jax.random.split(key, 4)
    sampled = (SAMPLES, BATCH_SIZE, n_actions)
    return Noise(
        jax.random.normal(here, sampled),
        jax.random.normal(there, sampled),
        jax.random.uniform(uniform, (BATCH_SIZE, SAMPLES, n_actions), minval=-1.0, maxval=1.0),
        jax.random.normal(actor, sampled[1:]),
    )


def sampled(actor: Any, observations: Any, noise: Any) -> tuple[Any, Any]:
    """Actions of the squashed Gaussian, (…, batch, action), and ``log π`` of them, (…, batch)."""
    mean, log_std = jnp.split(mlp(actor, observations), 2, axis=1)
    log_std = jnp.clip(log_std, MIN_LOG_STD, MAX_LOG_STD)
    raw = mean + jnp.exp(log_std) * noise
    jacobian = 2 * (math.log(2) - raw - jax.nn.softplus(-2 * raw))
    density = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
    return jnp.tanh(raw), (density - jacobian).sum(axis=-1)


def update(state: State, batch: Batch, noise: Noise, step: Any) -> tuple[State, Losses]:
    """One step: critics with α, actor with the temperature, then the targets."""
    n_actions = batch.actions.shape[1]
    action = jnp.tanh(mlp(state.actor, batch.next_observations)[:, :n_actions])
    bootstrap = values(state.targets, batch.next_observations, action).min(axis=0)
    wanted = batch.rewards + GAMMA * bootstrap * (1 - batch.terminals)
    tried = [
        (jnp.swapaxes(actions, 0, 1), jnp.swapaxes(log_density, 0, 1))
        for actions, log_density in (
            sampled(state.actor, batch.observations, noise.here),
            sampled(state.actor, batch.next_observations, noise.there),
        )
    ]
    uniform_density = jnp.full((BATCH_SIZE, SAMPLES), n_actions * math.log(0.5))
    tried.append((noise.uniform, uniform_density))
    actions = jnp.concatenate([each for each, _ in tried], axis=1).reshape(-1, n_actions)
    log_density = jnp.concatenate([each for _, each in tried], axis=1)
    repeated = jnp.repeat(batch.observations, 3 * SAMPLES, axis=0)

    def critic_loss_of(critics: Any) -> tuple[Any, Any]:
        of_data = values(critics, batch.observations, batch.actions)
        td_loss = ((of_data - wanted) ** 2).mean(axis=1).sum()
        of_tried = values(critics, repeated, actions).reshape(-1, *log_density.shape)
        above = jax.nn.logsumexp(of_tried - log_density, axis=2) - of_data
        conservative = CONSERVATIVE_WEIGHT * (above.mean(axis=1) - ALPHA_THRESHOLD)
        stepped = alpha_step(state, jax.lax.stop_gradient(conservative))
        alpha = jnp.clip(jnp.exp(stepped[0]), 0, MAX_ALPHA)
        scaled = (alpha * conservative).sum()
        return td_loss + scaled, (stepped, {"conservative_loss": scaled, "alpha": alpha})

    (critic_loss, ((log_alpha, alpha_moments), losses)), gradient = jax.value_and_grad(
        critic_loss_of, has_aux=True
    )(state.critics)
    critics, critic_moments = adam(state.critics, gradient, state.critic_moments, CRITIC_RATE)

    def actor_loss_of(actor: Any) -> tuple[Any, Any]:
        action, log_density = sampled(actor, batch.observations, noise.actor)
        temp_loss, *stepped = temperature_step(
            state, jax.lax.stop_gradient(log_density) - n_actions
        )
        temperature = jnp.exp(stepped[0])
        q = values(critics, batch.observations, action).min(axis=0)
        loss = (temperature * log_density - q).mean()
        return loss, (stepped, {"temp_loss": temp_loss, "temp": temperature})

    (actor_loss, ((log_temperature, temperature_moments), more)), gradient = jax.value_and_grad(
        actor_loss_of, has_aux=True
    )(state.actor)
    actor, actor_moments = adam(state.actor, gradient, state.actor_moments, ACTOR_RATE)
    after = State(
        actor,
        critics,
        soft_update(state.targets, critics, TAU),
        log_temperature,
        log_alpha,
        actor_moments,
        critic_moments,
        temperature_moments,
        alpha_moments,
    )
    return after, {"critic_loss": critic_loss, "actor_loss": actor_loss, **losses, **more}


def alpha_step(state: State, conservative: Any) -> tuple[Any, Moments]:
    """α's own step, along ``−mean(α · conservative loss)``."""

    def loss_of(log_alpha: Any) -> Any:
        return -(jnp.clip(jnp.exp(log_alpha), 0, MAX_ALPHA) * conservative).mean()

    gradient = jax.grad(loss_of)(state.log_alpha)
    return adam(state.log_alpha, gradient, state.alpha_moments, DUAL_RATE)


def temperature_step(state: State, above: Any) -> tuple[Any, Any, Moments]:
    """The temperature's own step, along ``−mean(T · (log π − action size))``, and its loss."""

    def loss_of(log_temperature: Any) -> Any:
        return -(jnp.exp(log_temperature) * above).mean()

    loss, gradient = jax.value_and_grad(loss_of)(state.log_temperature)
    return loss, *adam(state.log_temperature, gradient, state.temperature_moments, DUAL_RATE)


PEER = Peer(create, draw, update)
