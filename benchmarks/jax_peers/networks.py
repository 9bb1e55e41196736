"""Multilayer perceptrons as tuples of arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["HIDDEN", "mlp", "new_mlp", "soft_update", "values"]

HIDDEN = (256, 256)

Network = tuple[tuple[Any, Any], ...]
"""A pair a layer: weights (in, out) and biases (out,)."""


def new_mlp(key: Any, n_in: int, n_out: int) -> Network:
    """Initial weights and biases, uniform in ±1/√in as torch has them."""
    sizes = (n_in, *HIDDEN, n_out)
    layers = []
    for own, inputs, outputs in zip(
        jax.random.split(key, len(sizes) - 1), sizes[:-1], sizes[1:], strict=True
    ):
        bound = inputs**-0.5
        weight, bias = jax.random.split(own)
        layers.append(
            (
                jax.random.uniform(weight, (inputs, outputs), minval=-bound, maxval=bound),
                jax.random.uniform(bias, (outputs,), minval=-bound, maxval=bound),
            )
        )
    return tuple(layers)


def mlp(network: Network, x: Any) -> Any:
    """(batch, in) → (batch, out), ReLU between the layers."""
    *hidden, (weight, bias) = network
    for own_weight, own_bias in hidden:
        x = jax.nn.relu(x @ own_weight + own_bias)
    return x @ weight + bias


def values(networks: tuple[Network, ...], observations: Any, actions: Any) -> Any:
    """Q of every critic: (critics, batch)."""
    x = jnp.concatenate([observations, actions], axis=1)
    return jnp.stack([mlp(network, x)[:, 0] for network in networks])


def soft_update(target: Any, source: Any, tau: float) -> Any:
    """``(1 − τ) · target + τ · source``."""
    return jax.tree.map(lambda old, new: (1 - tau) * old + tau * new, target, source)
