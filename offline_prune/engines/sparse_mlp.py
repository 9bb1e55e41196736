"""A network of linear layers that holds, computes and trains its kept weights only."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_prune.engines.wiring import Norm, Step, Wiring

__all__ = ["OutputColumns", "SparseMLP", "kernels_available"]


def kernels_available() -> bool:
    """Whether numba, which compiles the kernels, is installed (extra ``fast``)."""
    return importlib.util.find_spec("numba") is not None


class _Modeless(nn.Module):
    """Is the same in training and in evaluation."""

    def train(self, mode: bool = True) -> Self:
        """Note the mode: d3rlpy sets it twice a step, and torch's way looks at everything."""
        vars(self)["training"] = mode
        return self


class SparseMLP(_Modeless):
    """Linear layers, activations and normalisations, of which only kept weights exist.

    ``h_u = σ(b_u + Σ_k θ_k · h_{source(k)})`` over the kept weights ``k`` of unit ``u``.
    Forward and backward are one call each of
    :mod:`offline_prune.engines.sparse_kernels`: a block of the mini-batch goes through
    the whole network while it is in the cache.

    Attributes:
        theta: The kept weights step by step and row by row, then step by step the biases,
            or the scales and shifts of a normalisation: all that an optimizer or a target
            update has to touch.
        further: All of it but the weights, where an optimizer steps them otherwise: ``theta``
            are the weights alone then. Else None.
    """

    def __init__(self, steps: Sequence[Step], theta: Tensor, further: Tensor | None = None) -> None:
        """Wrap parameters.

        Args:
            steps: What is computed; the last is linear and gives the outputs.
            theta: As :attr:`theta`.
            further: As :attr:`further`.
        """
        super().__init__()
        self.steps = tuple(steps)
        self.wiring = Wiring.of(steps)
        self.theta = nn.Parameter(theta)
        self.register_parameter("further", None if further is None else nn.Parameter(further))

    def _numbers(self) -> Tensor:
        parameters = self._parameters  # an attribute would be looked for elsewhere first
        theta, further = parameters["theta"], parameters["further"]
        assert theta is not None
        return theta if further is None else torch.cat([theta, further])

    def forward(self, x: Tensor, action: Tensor | None = None) -> Tensor:
        """Evaluate.

        Args:
            x: (…, n) observations.
            action: (B, m) appended to them, or None.

        Returns:
            (…, O) outputs of all heads.
        """
        if x.dim() != 2:  # of a sequence; no action is beside it
            found: Tensor = self(x.flatten(end_dim=-2)).unflatten(0, x.shape[:-1])
            return found
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return self.as_dense_layers(x, action)
        x = x.contiguous()
        action = None if action is None else action.contiguous()
        if torch.is_grad_enabled():
            found = _Evaluate.apply(self._numbers(), x, action, self.wiring)  # type: ignore[no-untyped-call]
            return found
        return _evaluate(self._numbers().detach().numpy(), x, action, self.wiring, keep=False)[0]

    def as_dense_layers(self, x: Tensor, action: Tensor | None = None) -> Tensor:
        """The same through torch's own operations, for what records those.

        Args:
            x: (B, n) observations.
            action: (B, m) appended to them, or None.

        Returns:
            (B, O) outputs of all heads.
        """
        inputs = x if action is None else torch.cat([x, action], dim=1)
        theta = self._numbers()
        weight, further = 0, len(self.wiring.sources)
        found: list[Tensor] = []
        for step in self.steps:
            h = found[step.reads] if step.reads >= 0 else inputs
            own = theta[further : further + step.n_further] if step.n_further else None
            further += step.n_further
            if isinstance(step, Norm):
                scale, shift = (None, None) if own is None else own.split(step.size)
                h = nn.functional.layer_norm(h, (step.size,), scale, shift, step.eps)
            else:
                n = int(step.mask.sum())
                matrix = theta.new_zeros(step.mask.shape)
                matrix[step.mask] = theta[weight : weight + n]
                weight += n
                h = nn.functional.linear(h, matrix, own)
                h = _ACTIVATIONS[step.activation](h if step.adds is None else h + found[step.adds])
            found.append(h)
        return found[-1]

    def extra_repr(self) -> str:
        """Sizes."""
        wiring = self.wiring
        return (
            f"inputs={len(wiring.inputs)}, units={wiring.n_units}, "
            f"outputs={wiring.n_outputs}, weights={len(wiring.sources)}"
        )


_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "none": lambda z: z,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "swish": nn.functional.silu,
    "gelu": nn.functional.gelu,
}


class OutputColumns(_Modeless, nn.Linear):
    """Stands in for a head: its outputs are columns that :class:`SparseMLP` computed.

    A linear layer by type, as d3rlpy's policies check; it has no parameters.
    """

    def __init__(self, start: int, stop: int) -> None:
        """Pick columns ``start`` to ``stop``.

        Args:
            start: First column.
            stop: One past the last.
        """
        nn.Module.__init__(self)
        self.start, self.stop = start, stop

    def forward(self, outputs: Tensor) -> Tensor:
        """The head's columns of (…, O) outputs."""
        if outputs.shape[-1] == self.stop - self.start:
            return outputs
        return outputs[..., self.start : self.stop]

    def extra_repr(self) -> str:
        """The columns."""
        return f"{self.start}:{self.stop}"


@functools.cache
def _kernels() -> ModuleType:
    from offline_prune.engines import sparse_kernels

    return sparse_kernels


# A call takes as long as a dozen small tensors are made. What the kernels alone touch is numpy's
# therefore, but for what they read in whole vectors: torch aligns it.


def _numpy(tensor: Tensor) -> NDArray[Any]:
    found: NDArray[Any] = (tensor.detach() if tensor.requires_grad else tensor).numpy()
    return found


def _evaluate(
    theta: NDArray[Any], x: Tensor, action: Tensor | None, wiring: Wiring, *, keep: bool
) -> tuple[Tensor, Tensor]:
    """Outputs, and every unit's activations if they are to be kept."""
    kernels, rows = _kernels(), len(x)
    n_blocks = -(-rows // kernels.TILE) if keep else 1
    blocks = torch.empty(n_blocks, wiring.n_units, kernels.TILE, dtype=x.dtype)
    out = np.empty((rows, wiring.n_outputs), theta.dtype)
    kernels.forward(
        _numpy(x),
        np.empty((rows, 0), theta.dtype) if action is None else _numpy(action),
        wiring.inputs,
        wiring.steps,
        wiring.eps,
        wiring.indptr,
        wiring.sources,
        theta,
        out,
        blocks.numpy(),
    )
    return torch.from_numpy(out), blocks


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, theta: Tensor, x: Tensor, action: Tensor | None, wiring: Wiring
    ) -> Tensor:
        numbers = theta.detach().numpy()
        out, blocks = _evaluate(numbers, x, action, wiring, keep=any(ctx.needs_input_grad))
        ctx.save_for_backward(theta, blocks)
        ctx.wiring, ctx.theta = wiring, numbers
        ctx.columns = x.shape[1], 0 if action is None else action.shape[1]
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> Any:
        # Only with create_graph=True: to say that there is no second derivative takes a while.
        if torch.is_grad_enabled():
            return _once(ctx, grad_out)
        return _gradients(ctx, grad_out)


def _gradients(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the inputs of :class:`_Evaluate` that are asked for."""
    kernels, wiring = _kernels(), ctx.wiring
    theta, blocks = ctx.saved_tensors
    of_theta, *of_inputs = ctx.needs_input_grad[:3]
    grads = [torch.empty_like(theta) if of_theta else None]
    # Columns that nobody reads keep their zero.
    grads += [
        torch.zeros(len(grad_out), columns, dtype=theta.dtype) if wanted else None
        for columns, wanted in zip(ctx.columns, of_inputs, strict=True)
    ]
    # An array of length 0 tells the kernel that nobody asks for this gradient.
    shapes = ((0,), *((0, columns) for columns in ctx.columns))
    units = wiring.n_units
    scratch = torch.empty(
        2 * units + 2 if wiring.has_deposits else units + 3, kernels.TILE, dtype=theta.dtype
    ).numpy()
    kernels.backward(
        grad_out.contiguous().numpy(),
        blocks.numpy(),
        wiring.inputs,
        wiring.steps,
        wiring.indptr,
        wiring.sources,
        wiring.readers_indptr,
        wiring.readers,
        wiring.readers_order,
        ctx.theta,
        *(
            np.empty(shape, ctx.theta.dtype) if grad is None else grad.numpy()
            for grad, shape in zip(grads, shapes, strict=True)
        ),
        scratch[:units],
        scratch[units:-2],
        scratch[-2:],
    )
    return (*grads, None)


_once = torch.autograd.function.once_differentiable(_gradients)
