"""Are the JAX peers d3rlpy's algorithms? Same weights, mini-batches and noise, step by step.

python benchmarks/check_jax_peers.py

Needs the extra ``peers``. Prints the largest relative difference of every loss over some steps,
and how far every part of the agent then is from d3rlpy's, relative to how far d3rlpy moved it.
Fails where one is above its tolerance.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax_peers import bc, cql, iql, td3_plus_bc
from jax_peers.adam import no_moments
from jax_peers.algorithms import PEERS
from jax_peers.peer import BATCH_SIZE, Batch
from torch import nn
from training_speed import DATASET, config_of

from offline_prune import load_dataset
from offline_prune.agents import build_agent

STEPS, OF_LOSSES, OF_MOVES = 6, 1e-4, 1e-2
"""Adam divides gradients that are nothing but rounding by their own size: moves differ more."""


def weights(module: Any) -> list[tuple[Any, Any]]:
    """The linear layers of a torch module, as :mod:`jax_peers.networks` has them."""
    return [
        (jnp.array(layer.weight.detach().numpy().T), jnp.array(layer.bias.detach().numpy()))
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
    ]


def actor_with_heads(policy: Any) -> tuple[Any, ...]:
    """Means and log σ of CQL's policy are two heads in d3rlpy and one in the peer."""
    *trunk, mean, log_std = weights(policy)
    head = (
        jnp.concatenate([mean[0], log_std[0]], axis=1),
        jnp.concatenate([mean[1], log_std[1]]),
    )
    return (*trunk, head)


def parts_of(name: str, modules: Any) -> dict[str, Any]:
    """Every parameter of a d3rlpy algorithm, by its name in the peer's state."""
    if name == "bc":
        return {"actor": tuple(weights(modules.imitator))}
    parts: dict[str, Any] = {
        "actor": tuple(weights(modules.policy)),
        "critics": tuple(tuple(weights(q)) for q in modules.q_funcs),
        "targets": tuple(tuple(weights(q)) for q in modules.targ_q_funcs),
    }
    if name == "iql":
        parts["log_std"] = jnp.array(modules.policy._logstd.detach().numpy())
        parts["value"] = tuple(weights(modules.value_func))
    elif name == "td3_plus_bc":
        parts["target_actor"] = tuple(weights(modules.targ_policy))
    else:
        parts["actor"] = actor_with_heads(modules.policy)
        for dual in ("log_temp", "log_alpha"):
            value = next(getattr(modules, dual).parameters()).item()
            parts[dual.replace("temp", "temperature")] = jnp.array(value, jnp.float32)
    return parts


def state_of(name: str, parts: dict[str, Any]) -> Any:
    """The peer's state before the first step."""
    if name == "bc":
        return bc.State(**parts, moments=no_moments(parts["actor"]))
    if name == "iql":
        actor, critics = (parts["actor"], parts["log_std"]), (parts["critics"], parts["value"])
        moments = {"actor_moments": no_moments(actor), "critic_moments": no_moments(critics)}
        return iql.State(**parts, **moments)
    moments = {f"{part}_moments": no_moments(parts[f"{part}s"]) for part in ("critic",)}
    moments["actor_moments"] = no_moments(parts["actor"])
    if name == "td3_plus_bc":
        return td3_plus_bc.State(**parts, **moments)
    for dual in ("temperature", "alpha"):
        moments[f"{dual}_moments"] = no_moments(parts[f"log_{dual}"])
    return cql.State(**parts, **moments)


def noise_of(name: str, n_actions: int) -> Any:
    """The numbers that d3rlpy draws in its next update, in the order in which it draws them."""
    shape, sampled = (BATCH_SIZE, n_actions), (cql.SAMPLES, BATCH_SIZE, n_actions)

    def normal(*size: int) -> Any:
        return jnp.array(torch.normal(torch.zeros(size), torch.ones(size)).numpy())

    if name == "td3_plus_bc":
        return jnp.array(torch.randn(shape).numpy())
    if name != "cql":
        return None
    here, there = normal(*sampled), normal(*sampled)
    uniform = torch.zeros(BATCH_SIZE * cql.SAMPLES, n_actions).uniform_(-1.0, 1.0)
    uniform = uniform.reshape(BATCH_SIZE, cql.SAMPLES, n_actions)
    return cql.Noise(here, there, jnp.array(uniform.numpy()), normal(*shape))


def flat(part: Any) -> Any:
    """All numbers of a part in a row."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(part)])


def differences(name: str, data: Any) -> Iterator[tuple[str, float, float]]:
    """Name of a loss or of a part, how far the peer is from d3rlpy, and how far it may be."""
    algo = build_agent(data, config_of(name, 256)).agent.algo
    update = jax.jit(PEERS[name].update)
    first = parts_of(name, algo.impl.modules)
    state = state_of(name, first)
    for step in range(STEPS):
        batch = data.buffer.sample_transition_batch(BATCH_SIZE)
        arrays = Batch(
            jnp.array(batch.observations),
            jnp.array(batch.actions),
            jnp.array(batch.rewards[:, 0]),
            jnp.array(batch.next_observations),
            jnp.array(batch.terminals[:, 0]),
        )
        torch.manual_seed(step)
        noise = noise_of(name, batch.actions.shape[1])
        torch.manual_seed(step)
        wanted = algo.update(batch)
        state, losses = update(state, arrays, noise, step)
        for loss, value in wanted.items():
            yield loss, abs(float(losses[loss]) - value) / abs(value), OF_LOSSES
    for part, last in parts_of(name, algo.impl.modules).items():
        moved = np.linalg.norm(flat(last) - flat(first[part]))
        apart = np.linalg.norm(flat(getattr(state, part)) - flat(last))
        yield f"move of {part}", float(apart / moved), OF_MOVES


def main() -> None:
    """Compare all four."""
    data, failed = load_dataset(DATASET), False
    for name in PEERS:
        largest: dict[str, float] = {}
        for what, found, allowed in differences(name, data):
            largest[what] = max(largest.get(what, 0.0), found)
            failed |= not found < allowed
        print(name, {what: f"{found:.0e}" for what, found in largest.items()}, flush=True)
    if failed:
        sys.exit(f"A peer is not d3rlpy's algorithm: above {OF_LOSSES:g} or, moves, {OF_MOVES:g}.")


if __name__ == "__main__":
    main()
