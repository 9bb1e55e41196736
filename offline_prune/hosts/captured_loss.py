"""The loss of a library whose training is one function from mini-batch to optimizer step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from offline_prune.base.replaced import replaced
from offline_prune.errors import AlgorithmError

__all__ = ["captured_loss"]


class _CapturedError(Exception):
    """Leaves the library's function."""

    def __init__(self, loss: Tensor) -> None:
        super().__init__()
        self.loss = loss


def captured_loss(
    train: Callable[[], object], optimizers: Iterable[Optimizer], wanted: Optimizer
) -> Tensor:
    """Run a training function until it differentiates the loss that one optimizer steps on.

    Losses that other optimizers step on before are computed and not differentiated, and no
    optimizer steps or forgets its gradients: parameters are as before. The loss is the
    library's own, whatever it is made of.

    Args:
        train: Takes at least one gradient step: for each loss it calls ``zero_grad`` of the
            optimizer, then ``backward``, then ``step``.
        optimizers: All that it steps.
        wanted: One of them.

    Returns:
        The scalar loss with its graph.

    Raises:
        AlgorithmError: If the function ends without such a loss.
    """
    cleared: list[Optimizer] = []

    def backward(loss: Tensor, *_: Any, **__: Any) -> None:
        if cleared and cleared[-1] is wanted:
            raise _CapturedError(loss)

    with ExitStack() as patches:
        for optimizer in optimizers:
            patches.enter_context(replaced(optimizer, "zero_grad", _noting(cleared, optimizer)))
            patches.enter_context(replaced(optimizer, "step", _nothing))
        patches.enter_context(replaced(torch.Tensor, "backward", backward))
        try:
            train()
        except _CapturedError as captured:
            return captured.loss
    raise AlgorithmError(
        "Its training ended without a loss for one of the networks: it cannot be scored before"
        " training. Use a method that prunes while training, such as 'gmp', 'set' or 'rigl'."
    )


def _noting(cleared: list[Optimizer], optimizer: Optimizer) -> Callable[..., None]:
    def zero_grad(*_: Any, **__: Any) -> None:
        cleared.append(optimizer)

    return zero_grad


def _nothing(*_: Any, **__: Any) -> None:
    """Step nowhere."""
