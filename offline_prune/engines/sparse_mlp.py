"""A multilayer perceptron that holds, computes and trains its kept weights only."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["OutputColumns", "SparseMLP", "Wiring", "kernels_available"]


def kernels_available() -> bool:
    """Whether numba, which compiles the kernels, is installed (extra ``fast``)."""
    return importlib.util.find_spec("numba") is not None


@dataclass(frozen=True)
class Wiring:
    """Which unit reads which, all layers of a network numbered through.

    Attributes:
        inputs: (I,) columns of the input that are read; they are units 0 … I − 1.
        indptr: (U − I + 1,) where the weights of each further unit start.
        sources: (K,) the unit that each weight reads.
        readers_indptr: (U + 1,) where the readers of each unit start.
        readers: (K,) the units that read it.
        readers_order: (K,) the weight between the two.
        n_outputs: Units at the end that are outputs: no ReLU follows them.
    """

    inputs: NDArray[np.int64]
    indptr: NDArray[np.int64]
    sources: NDArray[np.int32]
    readers_indptr: NDArray[np.int64]
    readers: NDArray[np.int32]
    readers_order: NDArray[np.int64]
    n_outputs: int

    @classmethod
    def of(cls, layers: Sequence[Tensor]) -> Wiring:
        """Wire layers that follow one another.

        Args:
            layers: (units, columns) boolean masks, true = kept. The columns of the
                first are inputs of the network, of any other the units of the layer
                before.

        Returns:
            The wiring. Weights are numbered layer by layer, row by row.
        """
        inputs = layers[0].any(dim=0).nonzero().flatten().numpy()
        columns, sources, indptr = np.full(layers[0].shape[1], -1), [], [np.zeros(1, np.int64)]
        columns[inputs] = np.arange(len(inputs))
        first, n_weights = len(inputs), 0
        for layer in layers:
            rows, read = (index.numpy() for index in layer.nonzero(as_tuple=True))
            sources.append(columns[read])
            indptr.append(n_weights + np.cumsum(np.bincount(rows, minlength=len(layer))))
            n_weights += len(rows)
            columns = np.arange(first, first + len(layer))
            first += len(layer)
        source = np.concatenate(sources).astype(np.int32)
        starts = np.concatenate(indptr)
        order = np.argsort(source, kind="stable")
        unit = np.repeat(np.arange(len(starts) - 1), np.diff(starts)) + len(inputs)
        return cls(
            inputs=inputs,
            indptr=starts,
            sources=source,
            readers_indptr=np.searchsorted(source[order], np.arange(first + 1)),
            readers=unit[order].astype(np.int32),
            readers_order=order,
            n_outputs=len(layers[-1]),
        )

    @property
    def n_units(self) -> int:
        """U: inputs that are read, hidden units and outputs."""
        return len(self.readers_indptr) - 1

    @property
    def n_parameters(self) -> int:
        """K weights and one bias a unit that is no input."""
        return len(self.sources) + len(self.indptr) - 1


class SparseMLP(nn.Module):
    """Linear layers with ReLU between, of which only kept weights exist.

    ``h_u = max(0, b_u + Σ_k θ_k · h_{source(k)})`` over the kept weights ``k`` of unit
    ``u``; no maximum at the outputs. Forward and backward are one call each of
    :mod:`offline_prune.engines.sparse_kernels`: a block of the mini-batch goes through
    the whole network while it is in the cache.

    In evaluation mode the parameters get no gradient, the inputs do. d3rlpy evaluates
    its critics in that mode where it trains the actor, and throws their gradients away.

    Attributes:
        theta: (K + U − I,) the kept weights, then the biases: all that an optimizer or
            a target update has to touch.
    """

    def __init__(self, wiring: Wiring, theta: Tensor) -> None:
        """Wrap parameters.

        Args:
            wiring: Which unit reads which.
            theta: (:attr:`Wiring.n_parameters`,) kept weights, then biases.
        """
        super().__init__()
        self.wiring = wiring
        self.theta = nn.Parameter(theta)

    def forward(self, x: Tensor, action: Tensor | None = None) -> Tensor:
        """Evaluate.

        Args:
            x: (B, n) observations.
            action: (B, m) appended to them, or None.

        Returns:
            (B, O) outputs of all heads.
        """
        if torch.jit.is_tracing():  # type: ignore[no-untyped-call]
            raise RuntimeError(
                "A compact network cannot be traced: it would be saved as a constant."
                " Call engine.detach() first; the trained weights are then in the"
                " original layers."
            )
        x = x.contiguous()
        action = x.new_empty(len(x), 0) if action is None else action.contiguous()
        theta = self.theta if self.training else self.theta.detach()
        if torch.is_grad_enabled():
            found: Tensor = _Evaluate.apply(theta, x, action, self.wiring)  # type: ignore[no-untyped-call]
            return found
        return _evaluate(theta, x, action, self.wiring, keep=False)[0]

    def extra_repr(self) -> str:
        """Sizes."""
        wiring = self.wiring
        return (
            f"inputs={len(wiring.inputs)}, units={wiring.n_units}, "
            f"outputs={wiring.n_outputs}, weights={len(wiring.sources)}"
        )


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
        ctx.wiring, ctx.shapes = wiring, (x.shape, action.shape)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> Any:
        from offline_prune.engines import sparse_kernels as kernels

        theta, blocks = ctx.saved_tensors
        wiring: Wiring = ctx.wiring
        shapes = (theta.shape, *ctx.shapes)
        # An array of length 0 tells the kernel that nobody asks for this gradient.
        grads = [
            theta.new_zeros(shape) if needed else theta.new_empty(0, *shape[1:])
            for shape, needed in zip(shapes, ctx.needs_input_grad[:3], strict=True)
        ]
        kernels.backward(
            grad_out.contiguous().numpy(),
            blocks.numpy(),
            wiring.inputs,
            wiring.indptr,
            wiring.sources,
            wiring.readers_indptr,
            wiring.readers,
            wiring.readers_order,
            theta.detach().numpy(),
            *(grad.numpy() for grad in grads),
            theta.new_empty(wiring.n_units, kernels.TILE).numpy(),
        )
        needed = zip(grads, ctx.needs_input_grad[:3], strict=True)
        return (*(grad if wanted else None for grad, wanted in needed), None)
