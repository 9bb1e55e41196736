"""CPU kernels of the sparse network, compiled by numba.

Activations of a block of :data:`TILE` rows of the mini-batch are held feature-major,
(units, TILE): a unit's values for the block lie side by side, and the block of a whole
network stays in the cache. A kept weight then costs one multiply-add on ``TILE``
neighbouring numbers. All units of a network are numbered through, inputs first and
outputs last, and unit ``u`` reads the units ``sources[indptr[u]:indptr[u + 1]]``. What else
happens, and in which order, is a list of steps
(:class:`~offline_prune.engines.wiring.Wiring`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_prune.engines.row_kernels import (
    activate,
    add_input_gradient,
    multiply_by_slope,
    normalise,
    normalise_back,
)
from offline_prune.engines.vector_code import TILE, add_dots, compiled, weighted_sum
from offline_prune.engines.wiring import LINEAR, MAP, NONE, RELU

__all__ = ["TILE", "backward", "forward"]


@compiled
def _load(block: Any, start: Any, inputs: Any, x: Any, action: Any) -> None:
    """Fill a block's input units from rows of the mini-batch; rows beyond it are 0."""
    rows = min(TILE, len(x) - start)
    observed = x.shape[1]
    for unit in range(len(inputs)):
        column = inputs[unit]
        if column < observed:
            for i in range(rows):
                block[unit, i] = x[start + i, column]
        else:
            for i in range(rows):
                block[unit, i] = action[start + i, column - observed]
        block[unit, rows:] = 0


@compiled
def forward(
    x: Any,
    action: Any,
    inputs: Any,
    steps: Any,
    eps: Any,
    indptr: Any,
    sources: Any,
    theta: Any,
    out: Any,
    blocks: Any,
) -> None:
    """Evaluate the network on a mini-batch.

    Args:
        x: (B, n) inputs.
        action: (B, m) further inputs; m may be 0.
        inputs: (I,) the columns of ``[x, action]`` that are read.
        steps: (S, 8) what is computed one after the other.
        eps: (S,) ε of normalisations.
        indptr: (U − I + 1,) where the weights of each unit start; units from I on.
        sources: (K,) int32, the unit that each weight reads.
        theta: Weights, then biases and scales.
        out: (B, O) is filled with the outputs; the last O units.
        blocks: (⌈B / TILE⌉, U, TILE) is filled with every unit's activations, or
            (1, U, TILE) for a scratch block where they are not needed.
    """
    n_inputs = len(inputs)
    first_output = blocks.shape[1] - out.shape[1]
    for start in range(0, len(x), TILE):
        block = blocks[min(start // TILE, len(blocks) - 1)]
        _load(block, start, inputs, x, action)
        for step in range(len(steps)):
            kind, first, count, source, added, activation, parameter, _ = steps[step]
            if kind == LINEAR:
                for u in range(count):
                    unit, bias = first + u, theta.dtype.type(0)
                    if parameter >= 0:
                        bias = theta[parameter + u]
                    k = unit - n_inputs
                    weighted_sum(block, unit, bias, theta, sources, indptr[k], indptr[k + 1])
                    if added >= 0:
                        for i in range(TILE):
                            block[unit, i] += block[added + u, i]
                    if activation == RELU:
                        for i in range(TILE):
                            block[unit, i] = max(block[unit, i], 0)
                    elif activation != NONE:
                        activate(block[unit], activation)
            elif kind == MAP:
                for u in range(count):
                    block[first + u] = block[source + u]
                    activate(block[first + u], activation)
            else:
                normalise(block, first, count, source, theta, parameter, eps[step])
        for i in range(min(TILE, len(x) - start)):
            for output in range(out.shape[1]):
                out[start + i, output] = block[first_output + output, i]


@compiled
def backward(
    grad_out: Any,
    blocks: Any,
    inputs: Any,
    steps: Any,
    indptr: Any,
    sources: Any,
    readers_indptr: Any,
    readers: Any,
    readers_order: Any,
    theta: Any,
    grad_theta: Any,
    grad_x: Any,
    grad_action: Any,
    grads: Any,
    deposits: Any,
    sums: Any,
) -> None:
    """Gradients of ``Σ grad_out · out``.

    Args:
        grad_out: (B, O).
        blocks: (⌈B / TILE⌉, U, TILE) as :func:`forward` left them.
        inputs: As in :func:`forward`.
        steps: As in :func:`forward`.
        indptr: As in :func:`forward`.
        sources: As in :func:`forward`.
        readers_indptr: (U + 1,) where the readers of each unit start.
        readers: (K,) int32, the units that read it.
        readers_order: (K,) the weight between the two, as an index of ``theta``.
        theta: As in :func:`forward`.
        grad_theta: Is filled with the gradient of ``theta``; length 0 for none.
        grad_x: (B, n) zeros; is filled with the gradient of ``x``; length 0 for none.
        grad_action: (B, m) the same for ``action``.
        grads: (U, TILE) scratch.
        deposits: (U, TILE) scratch for gradients that do not come along a weight; (1, TILE)
            where there are none.
        sums: (2, TILE) scratch.
    """
    n_inputs, n_units = len(inputs), blocks.shape[1]
    first_output = n_units - grad_out.shape[1]
    weights = theta[readers_order]
    grad_theta[:] = 0
    for start in range(0, len(grad_out), TILE):
        block, rows = blocks[start // TILE], min(TILE, len(grad_out) - start)
        for output in range(grad_out.shape[1]):
            for i in range(rows):
                grads[first_output + output, i] = grad_out[start + i, output]
            grads[first_output + output, rows:] = 0
        for step in range(len(steps) - 1, -1, -1):
            if steps[step, 7]:
                deposits[steps[step, 1] : steps[step, 1] + steps[step, 2]] = 0
        for step in range(len(steps) - 1, -1, -1):
            kind, first, count, source, added, activation, parameter, takes = steps[step]
            if first != first_output:
                for unit in range(first, first + count):
                    begin, end = readers_indptr[unit], readers_indptr[unit + 1]
                    weighted_sum(grads, unit, 0, weights, readers, begin, end)
                    # Entry by entry: a view of a row costs as much as the loop over it.
                    if takes:
                        for i in range(TILE):
                            grads[unit, i] += deposits[unit, i]
                    if kind == LINEAR and activation == RELU:
                        for i in range(TILE):
                            grads[unit, i] = grads[unit, i] if block[unit, i] > 0 else 0
                    elif kind == LINEAR and activation != NONE:
                        multiply_by_slope(grads[unit], block[unit], activation)
            if kind == MAP:
                for u in range(count):
                    z = source + u
                    add_input_gradient(grads[first + u], block[z], deposits[z], activation)
            elif kind != LINEAR:
                normalise_back(
                    grads, deposits, block, first, count, source, theta, parameter, grad_theta, sums
                )
            elif added >= 0:
                for u in range(count):
                    for i in range(TILE):
                        deposits[added + u, i] += grads[first + u, i]
        if len(grad_theta):
            for step in range(len(steps)):
                kind, first, count, _, _, _, parameter, _ = steps[step]
                if kind != LINEAR:
                    continue
                for u in range(count):
                    unit, k = first + u, first + u - n_inputs
                    add_dots(grad_theta, grads, unit, block, sources, indptr[k], indptr[k + 1])
                    if parameter >= 0:
                        grad_theta[parameter + u] += np.sum(grads[unit])
        for unit in range(n_inputs):
            column = inputs[unit] - (grad_x.shape[1])
            target = grad_x if column < 0 else grad_action
            if len(target) == 0:
                continue
            begin, end = readers_indptr[unit], readers_indptr[unit + 1]
            weighted_sum(grads, unit, 0, weights, readers, begin, end)
            column = inputs[unit] if column < 0 else column
            for i in range(rows):
                target[start + i, column] = grads[unit, i]
