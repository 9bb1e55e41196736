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

from offline_prune.engines.vector_code import TILE, compiled
from offline_prune.engines.wiring import GELU, RELU, SWISH, TANH

__all__ = [
    "activate",
    "add_input_gradient",
    "multiply_by_slope",
    "normalise",
    "normalise_back",
]


_single: Any = np.float32


@compiled
def _tanh(x: Any) -> Any:
    # A ratio of polynomials in x, as Eigen and XLA have it.
    x = min(max(x, _single(-9.0)), _single(9.0))
    y = x * x
    top = _single(-2.76076847742355e-16)
    top = top * y + _single(2.00018790482477e-13)
    top = top * y + _single(-8.60467152213735e-11)
    top = top * y + _single(5.12229709037114e-08)
    top = top * y + _single(1.48572235717979e-05)
    top = top * y + _single(6.37261928875436e-04)
    top = top * y + _single(4.89352455891786e-03)
    bottom = _single(1.19825839466702e-06)
    bottom = bottom * y + _single(1.18534705686654e-04)
    bottom = bottom * y + _single(2.26843463243900e-03)
    bottom = bottom * y + _single(4.89352518554385e-03)
    return x * top / bottom


@compiled
def _erf(x: Any) -> Any:
    x = min(max(x, _single(-4.0)), _single(4.0))
    y = x * x
    top = _single(-2.72614225801306e-10)
    top = top * y + _single(2.77068142495902e-08)
    top = top * y + _single(-2.10102402082508e-06)
    top = top * y + _single(-5.69250639462346e-05)
    top = top * y + _single(-7.34990630326855e-04)
    top = top * y + _single(-2.95459980854025e-03)
    top = top * y + _single(-1.60960333262415e-02)
    bottom = _single(-1.45660718464996e-05)
    bottom = bottom * y + _single(-2.13374055278905e-04)
    bottom = bottom * y + _single(-1.68282697438203e-03)
    bottom = bottom * y + _single(-7.37332916720468e-03)
    bottom = bottom * y + _single(-1.42647390514189e-02)
    return x * top / bottom


@compiled
def activate(row: Any, out: Any, activation: int) -> None:
    """``out = σ(row)``; the two may be the same row.

    Args:
        row: (TILE,).
        out: (TILE,) is filled.
        activation: A value of :data:`~offline_prune.engines.wiring.ACTIVATIONS`.
    """
    single = row.itemsize == 4
    if activation == RELU:
        for i in range(TILE):
            out[i] = max(row[i], 0)
    elif activation == TANH:
        if single:
            for i in range(TILE):
                out[i] = _tanh(row[i])
        else:
            for i in range(TILE):
                out[i] = math.tanh(row[i])
    elif activation == SWISH:
        if single:
            for i in range(TILE):
                out[i] = row[i] * (_single(0.5) + _single(0.5) * _tanh(row[i] / 2))
        else:
            for i in range(TILE):
                out[i] = row[i] / (1 + math.exp(-row[i]))
    elif activation == GELU:
        if single:
            for i in range(TILE):
                out[i] = row[i] * (
                    _single(0.5) + _single(0.5) * _erf(row[i] * _single(0.7071067811865476))
                )
        else:
            for i in range(TILE):
                out[i] = row[i] * (0.5 + 0.5 * math.erf(row[i] / math.sqrt(2.0)))


@compiled
def multiply_by_slope(grad: Any, out: Any, activation: int) -> None:
    """``grad *= σ'``, told from what the activation put out.

    Args:
        grad: (TILE,) changes.
        out: (TILE,) ``σ(z)``.
        activation: One whose slope does not need its input.
    """
    if activation == RELU:
        for i in range(TILE):
            grad[i] = grad[i] if out[i] > 0 else 0
    elif activation == TANH:
        for i in range(TILE):
            grad[i] *= 1 - out[i] * out[i]


@compiled
def add_input_gradient(grad: Any, row: Any, into: Any, activation: int) -> None:
    """``into += grad · σ'(row)`` for activations whose slope needs their input.

    Args:
        grad: (TILE,) gradient of ``σ(row)``.
        row: (TILE,) z.
        into: (TILE,) changes.
        activation: A value of :data:`~offline_prune.engines.wiring.ACTIVATIONS`.
    """
    single = row.itemsize == 4
    if activation == SWISH:
        if single:
            for i in range(TILE):
                s = _single(0.5) + _single(0.5) * _tanh(row[i] / 2)
                into[i] += grad[i] * (s + row[i] * s * (1 - s))
        else:
            for i in range(TILE):
                s = 1 / (1 + math.exp(-row[i]))
                into[i] += grad[i] * (s + row[i] * s * (1 - s))
    elif activation == GELU:
        density = 1 / math.sqrt(2 * math.pi)
        for i in range(TILE):
            x = row[i]
            below = 0.5 + 0.5 * math.erf(x / math.sqrt(2.0))
            into[i] += grad[i] * (below + x * density * math.exp(-x * x / 2))


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
    mean, scale = block[first + count], block[first + count + 1]
    mean[:] = 0
    scale[:] = 0
    for u in range(count):
        row = block[source + u]
        for i in range(TILE):
            mean[i] += row[i]
    for i in range(TILE):
        mean[i] /= count
    for u in range(count):
        row = block[source + u]
        for i in range(TILE):
            scale[i] += (row[i] - mean[i]) * (row[i] - mean[i])
    for i in range(TILE):
        scale[i] = 1 / np.sqrt(scale[i] / count + block.dtype.type(eps))
    for u in range(count):
        row, out = block[source + u], block[first + u]
        if parameter < 0:
            for i in range(TILE):
                out[i] = (row[i] - mean[i]) * scale[i]
        else:
            weight, bias = theta[parameter + u], theta[parameter + count + u]
            for i in range(TILE):
                out[i] = (row[i] - mean[i]) * scale[i] * weight + bias


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
        grads: (U, TILE); rows ``first …`` hold g and become ĝ.
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
    mean, scale = block[first + count], block[first + count + 1]
    total, product = sums[0], sums[1]
    total[:] = 0
    product[:] = 0
    for u in range(count):
        grad, row = grads[first + u], block[source + u]
        if parameter >= 0:
            if len(grad_theta):
                for_weight, for_bias = block.dtype.type(0), block.dtype.type(0)
                for i in range(TILE):
                    for_weight += grad[i] * (row[i] - mean[i]) * scale[i]
                    for_bias += grad[i]
                grad_theta[parameter + u] += for_weight
                grad_theta[parameter + count + u] += for_bias
            weight = theta[parameter + u]
            for i in range(TILE):
                grad[i] *= weight
        for i in range(TILE):
            total[i] += grad[i]
            product[i] += grad[i] * (row[i] - mean[i]) * scale[i]
    for i in range(TILE):
        total[i] /= count
        product[i] /= count
    for u in range(count):
        grad, row, into = grads[first + u], block[source + u], deposits[source + u]
        for i in range(TILE):
            normal = (row[i] - mean[i]) * scale[i]
            into[i] += scale[i] * (grad[i] - total[i] - normal * product[i])
