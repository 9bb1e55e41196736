"""What happens to whole rows of a block: activations and layer normalisation, both ways.

A row is one unit's values for the :data:`~offline_prune.engines.vector_code.TILE` rows of
the mini-batch in a block. tanh and erf in single precision are ratios of polynomials, which
compilers turn into vector code; they differ from the C library's by some units in the last
place. In double precision they are the C library's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from offline_prune.engines.vector_code import (
    TILE,
    compiled,
    moments,
    shift_and_scale,
    spread,
    weigh_and_sum,
)
from offline_prune.engines.wiring import GELU, SWISH, TANH

__all__ = [
    "activate",
    "add_input_gradient",
    "multiply_by_slope",
    "normalise",
    "normalise_back",
]


_single: Any = np.float32


def _singles(*numbers: float) -> tuple[Any, ...]:
    return tuple(map(_single, numbers))


# Highest powers first, as Eigen and XLA have them.
_TANH_TOP = _singles(
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_TANH_BOTTOM = _singles(
    1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03
)
_ERF_TOP = _singles(
    -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
    -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02,
)  # fmt: skip
_ERF_BOTTOM = _singles(
    -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
    -1.42647390514189e-02,
)  # fmt: skip
_EXP = _singles(1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1, 1)


@compiled
def _polynomial(x: Any, factors: Any) -> Any:
    total = factors[0]
    for i in range(1, len(factors)):
        total = total * x + factors[i]
    return total


@compiled
def _tanh(x: Any) -> Any:
    x = min(max(x, _single(-9.0)), _single(9.0))
    return x * _polynomial(x * x, _TANH_TOP) / _polynomial(x * x, _TANH_BOTTOM)


@compiled
def _erf(x: Any) -> Any:
    x = min(max(x, _single(-4.0)), _single(4.0))
    return x * _polynomial(x * x, _ERF_TOP) / _polynomial(x * x, _ERF_BOTTOM)


@compiled
def _exp(x: Any) -> Any:
    """``exp(x)`` for x ≤ 0: ``exp(x / 128)^128``, the inner one by its Taylor series."""
    x = max(x, _single(-87.0)) * _single(1 / 128)
    y = _polynomial(x, _EXP)
    for _ in range(7):
        y *= y
    return y


@compiled
def activate(row: Any, activation: int) -> None:
    """``row = σ(row)``.

    Args:
        row: (TILE,) changes.
        activation: Its number: any but those of the identity and ReLU.
    """
    single, half = row.itemsize == 4, row.dtype.type(0.5)
    if activation == TANH:
        if single:
            for i in range(TILE):
                row[i] = _tanh(row[i])
        else:
            for i in range(TILE):
                row[i] = math.tanh(row[i])
    elif activation == SWISH:
        if single:
            for i in range(TILE):
                row[i] *= half + half * _tanh(half * row[i])
        else:
            for i in range(TILE):
                row[i] /= 1 + math.exp(-row[i])
    elif activation == GELU:
        if single:
            for i in range(TILE):
                row[i] *= half + half * _erf(row[i] * _single(0.7071067811865476))
        else:
            for i in range(TILE):
                row[i] *= 0.5 + 0.5 * math.erf(row[i] / math.sqrt(2.0))


@compiled
def multiply_by_slope(grad: Any, out: Any, activation: int) -> None:
    """``grad *= σ'``, told from what the activation put out.

    Args:
        grad: (TILE,) changes.
        out: (TILE,) ``σ(z)``.
        activation: One whose slope does not need its input.
    """
    if activation == TANH:
        one = out.dtype.type(1)
        for i in range(TILE):
            grad[i] *= one - out[i] * out[i]


@compiled
def add_input_gradient(grad: Any, row: Any, into: Any, activation: int) -> None:
    """``into += grad · σ'(row)`` for activations whose slope needs their input.

    Args:
        grad: (TILE,) gradient of ``σ(row)``.
        row: (TILE,) z.
        into: (TILE,) changes.
        activation: A value of :data:`~offline_prune.engines.wiring.ACTIVATIONS`.
    """
    single, half, one = row.itemsize == 4, row.dtype.type(0.5), row.dtype.type(1)
    if activation == SWISH:
        if single:
            for i in range(TILE):
                s = half + half * _tanh(half * row[i])
                into[i] += grad[i] * (s + row[i] * s * (one - s))
        else:
            for i in range(TILE):
                s = 1 / (1 + math.exp(-row[i]))
                into[i] += grad[i] * (s + row[i] * s * (1 - s))
    elif activation == GELU:
        if single:
            for i in range(TILE):
                below = half + half * _erf(row[i] * _single(0.7071067811865476))
                peak = _exp(-half * row[i] * row[i]) * _single(0.3989422804014327)
                into[i] += grad[i] * (below + row[i] * peak)
        else:
            for i in range(TILE):
                below = 0.5 + 0.5 * math.erf(row[i] / math.sqrt(2.0))
                peak = math.exp(-row[i] * row[i] / 2) / math.sqrt(2 * math.pi)
                into[i] += grad[i] * (below + row[i] * peak)


@compiled
def normalise(
    block: Any, first: int, count: int, source: int, theta: Any, parameter: int, eps: float
) -> None:
    """``y_u = γ_u (a_u − μ) / √(σ² + ε) + β_u`` over the units u of a layer.

    Args:
        block: (U, TILE); rows ``source …`` hold a, rows ``first …`` are filled with y, and
            the two rows after them with μ and 1 / √(σ² + ε).
        first: First row of y.
        count: Units, n.
        source: First row of a.
        theta: γ from ``parameter`` on, then β.
        parameter: Where; negative for γ = 1, β = 0.
        eps: ε.
    """
    mean, scale = first + count, first + count + 1
    one = block.dtype.type(1)
    share, least = one / block.dtype.type(count), block.dtype.type(eps)
    moments(block, source, count, mean, scale, share, least)
    if parameter >= 0:
        shift_and_scale(block, first, count, source, mean, scale, theta, parameter)
    else:
        for u in range(count):
            for i in range(TILE):
                block[first + u, i] = (block[source + u, i] - block[mean, i]) * block[scale, i]


@compiled
def normalise_back(
    grads: Any,
    deposits: Any,
    block: Any,
    first: int,
    count: int,
    source: int,
    theta: Any,
    parameter: int,
    grad_theta: Any,
    sums: Any,
) -> None:
    """Gradients through :func:`normalise`.

    Formula: with ``â = (a − μ) r``, ``r = 1 / √(σ² + ε)`` and ``ĝ = g γ``:
    ``∂a = r (ĝ − mean(ĝ) − â mean(ĝ â))``, ``∂γ = Σ g â``, ``∂β = Σ g``.

    Args:
        grads: (U, TILE); rows ``first …`` hold g.
        deposits: (U, TILE); ∂a is added to rows ``source …``.
        block: As :func:`normalise` left it.
        first: As there.
        count: As there.
        source: As there.
        theta: As there.
        parameter: As there.
        grad_theta: ∂γ and ∂β are added; length 0 where nobody asks for them.
        sums: (2, TILE) scratch.
    """
    mean, scale = first + count, first + count + 1
    share = block.dtype.type(1) / block.dtype.type(count)
    if parameter >= 0:
        weigh_and_sum(
            grads, block, first, count, source, mean, scale, theta, parameter, sums, share,
            grad_theta,
        )  # fmt: skip
    else:
        sums[:] = 0
        for u in range(count):
            for i in range(TILE):
                normal = (block[source + u, i] - block[mean, i]) * block[scale, i]
                sums[0, i] += share * grads[first + u, i]
                sums[1, i] += share * grads[first + u, i] * normal
    spread(deposits, grads, block, first, count, source, mean, scale, theta, parameter, sums)
