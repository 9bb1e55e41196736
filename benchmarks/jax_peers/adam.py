"""Adam (Kingma and Ba 2015), with torch's defaults."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Moments", "adam", "no_moments"]

B1, B2, EPSILON = 0.9, 0.999, 1e-8


class Moments(NamedTuple):
    """What Adam remembers: steps done, and running means of gradients and of their squares."""

    steps: Any
    first: Any
    second: Any


def no_moments(parameters: Any) -> Moments:
    """Before the first step."""
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return Moments(jnp.zeros((), jnp.int32), zeros, zeros)


def adam(parameters: Any, gradients: Any, moments: Moments, rate: float) -> tuple[Any, Moments]:
    """``p − η · m̂ / (√v̂ + ε)``, and the moments after it."""
    steps = moments.steps + 1
    first = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, moments.first, gradients)
    second = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, moments.second, gradients)
    size, root = rate / (1 - B1**steps), jnp.sqrt(1 - B2**steps)
    parameters = jax.tree.map(
        lambda p, m, v: p - size * m / (jnp.sqrt(v) / root + EPSILON), parameters, first, second
    )
    return parameters, Moments(steps, first, second)
