"""A network of linear layers that holds, computes and trains its kept weights only."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from offline_prune.engines.wiring import Norm, Step, Wiring

__all__ = ["OutputColumns", "SparseMLP", "kernels_available"]


def kernels_available() -> bool:
    """Whether numba, which compiles the kernels, is installed (extra ``fast``)."""
    return importlib.util.find_spec("numba") is not None


class SparseMLP(nn.Module):
    """Linear layers, activations and normalisations, of which only kept weights exist.

    ``h_u = σ(b_u + Σ_k θ_k · h_{source(k)})`` over the kept weights ``k`` of unit ``u``.
    Forward and backward are one call each of
    :mod:`offline_prune.engines.sparse_kernels`: a block of the mini-batch goes through
    the whole network while it is in the cache.

    Attributes:
        theta: The kept weights step by step and row by row, then step by step the biases,
            or the scales and shifts of a normalisation: all that an optimizer or a target
            update has to touch.
    """

    def __init__(self, steps: Sequence[Step], theta: Tensor) -> None:
        """Wrap parameters.

        Args:
            steps: What is computed; the last is linear and gives the outputs.
            theta: As :attr:`theta`.
        """
        super().__init__()
        self.steps = tuple(steps)
        self.wiring = Wiring.of(steps)
        self.theta = nn.Parameter(theta)

    def forward(self, x: Tensor, action: Tensor | None = None) -> Tensor:
        """Evaluate.

        Args:
            x: (B, n) observations.
            action: (B, m) appended to them, or None.

        Returns:
            (B, O) outputs of all heads.
        """
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return self.as_dense_layers(x, action)
        x = x.contiguous()
        action = x.new_empty(len(x), 0) if action is None else action.contiguous()
        if torch.is_grad_enabled():
            found: Tensor = _Evaluate.apply(self.theta, x, action, self.wiring)  # type: ignore[no-untyped-call]
            return found
        return _evaluate(self.theta, x, action, self.wiring, keep=False)[0]

    def as_dense_layers(self, x: Tensor, action: Tensor | None = None) -> Tensor:
        """The same through torch's own operations, for what records those.

        Args:
            x: (B, n) observations.
            action: (B, m) appended to them, or None.

        Returns:
            (B, O) outputs of all heads.
        """
        inputs = x if action is None else torch.cat([x, action], dim=1)
        weight, further = 0, len(self.wiring.sources)
        found: list[Tensor] = []
        for step in self.steps:
            h = found[step.reads] if step.reads >= 0 else inputs
            own = self.theta[further : further + step.n_further] if step.n_further else None
            further += step.n_further
            if isinstance(step, Norm):
                scale, shift = (None, None) if own is None else own.split(step.size)
                h = nn.functional.layer_norm(h, (step.size,), scale, shift, step.eps)
            else:
                n = int(step.mask.sum())
                matrix = self.theta.new_zeros(step.mask.shape)
                matrix[step.mask] = self.theta[weight : weight + n]
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


class OutputColumns(nn.Linear):
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
        """The head's columns of (B, O) outputs."""
        if outputs.shape[1] == self.stop - self.start:
            return outputs
        return outputs[:, self.start : self.stop]

    def extra_repr(self) -> str:
        """The columns."""
        return f"{self.start}:{self.stop}"


def _evaluate(
    theta: Tensor, x: Tensor, action: Tensor, wiring: Wiring, *, keep: bool
) -> tuple[Tensor, Tensor]:
    """Outputs, and every unit's activations if they are to be kept."""
    from offline_prune.engines import sparse_kernels as kernels

    n_blocks = -(-len(x) // kernels.TILE) if keep else 1
    blocks = theta.new_empty(n_blocks, wiring.n_units, kernels.TILE)
    out = theta.new_empty(len(x), wiring.n_outputs)
    kernels.forward(
        x.detach().numpy(),
        action.detach().numpy(),
        wiring.inputs,
        wiring.steps,
        wiring.eps,
        wiring.indptr,
        wiring.sources,
        theta.detach().numpy(),
        out.numpy(),
        blocks.numpy(),
    )
    return out, blocks


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, theta: Tensor, x: Tensor, action: Tensor, wiring: Wiring) -> Tensor:
        out, blocks = _evaluate(theta, x, action, wiring, keep=any(ctx.needs_input_grad))
        ctx.save_for_backward(theta, blocks)
        ctx.wiring, ctx.shapes = wiring, (theta.shape, x.shape, action.shape)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> Any:
        from offline_prune.engines import sparse_kernels as kernels

        theta, blocks = ctx.saved_tensors
        wiring: Wiring = ctx.wiring
        wanted = ctx.needs_input_grad[:3]
        # An array of length 0 tells the kernel that nobody asks for this gradient.
        grads = [
            theta.new_zeros(shape) if needed else theta.new_empty(0, *shape[1:])
            for shape, needed in zip(ctx.shapes, wanted, strict=True)
        ]
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
            theta.detach().numpy(),
            *(grad.numpy() for grad in grads),
            theta.new_empty(wiring.n_units, kernels.TILE).numpy(),
            theta.new_empty(wiring.n_units if wiring.has_deposits else 1, kernels.TILE).numpy(),
            theta.new_empty(2, kernels.TILE).numpy(),
        )
        found = zip(grads, wanted, strict=True)
        return (*(grad if needed else None for grad, needed in found), None)
