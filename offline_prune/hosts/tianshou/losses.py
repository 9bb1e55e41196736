"""The loss of tianshou's value-based algorithms, which is inside their update."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from offline_prune.base.module_modes import preserved_modes
from offline_prune.base.random_state import seeded_random_state
from offline_prune.base.replaced import replaced
from offline_prune.errors import InputError
from offline_prune.hosts.captured_loss import captured_loss

__all__ = ["Drawn", "draw_batches", "loss_of"]

_BATCH_SIZE = 256


@dataclass(frozen=True)
class Drawn:
    """A mini-batch as an algorithm's update reads it.

    Attributes:
        batch: tianshou's, its returns computed.
        actions: Of the mini-batch, on the device of the networks.
    """

    batch: Any
    actions: Tensor


def draw_batches(algorithm: Any, buffer: Any, n_batches: int, seed: int) -> list[Drawn]:
    """Draw mini-batches of a replay buffer, with the returns of the target network as it is.

    Args:
        algorithm: Of tianshou.
        buffer: Its replay buffer.
        n_batches: How many, of 256 transitions.
        seed: Of the draw.

    Returns:
        Mini-batches for :func:`loss_of`.

    Raises:
        InputError: If there is no buffer, or nothing in it.
    """
    if buffer is None or not len(buffer):
        raise InputError(
            "This method makes its mask before training, from collected steps. Pass a buffer that"
            " has some: Pruning(…, buffer=collector.buffer) after collector.collect(…); or take a"
            " method that prunes while training, such as 'gmp', 'set' or 'rigl'."
        )
    device = next(algorithm.policy.model.parameters()).device
    drawn = []
    own = [buffer, *getattr(buffer, "buffers", [])]
    with ExitStack() as inside:
        inside.enter_context(seeded_random_state(seed))
        for i, part in enumerate(own):  # each draws from a random state of its own
            state = np.random.RandomState([seed, i])
            inside.enter_context(replaced(part, "_random_state", state))
        for _ in range(n_batches):
            batch, indices = buffer.sample(_BATCH_SIZE)
            found = algorithm._preprocess_batch(batch, buffer, indices)
            drawn.append(Drawn(found, found.returns.new_tensor(found.act, device=device)))
    return drawn


def loss_of(algorithm: Any) -> Callable[[Drawn], Tensor]:
    """The loss that an algorithm's optimizer steps on.

    Its own update computes it and is left before it differentiates
    (:func:`~offline_prune.hosts.captured_loss.captured_loss`). Nothing of the algorithm changes;
    noise of noisy layers is drawn from torch's random state.

    Args:
        algorithm: A value-based algorithm of tianshou.

    Returns:
        Mini-batch → scalar loss with its graph.
    """
    optimizer = algorithm.optim._optim

    def loss(drawn: Drawn) -> Tensor:
        def update() -> None:
            algorithm._update_with_batch(copy.copy(drawn.batch))  # it takes entries out

        with _as_it_was(algorithm):
            return captured_loss(update, [optimizer], optimizer)

    return loss


@contextmanager
def _as_it_was(algorithm: Any) -> Iterator[None]:
    """Train mode for a while; target networks, noise, modes and buffers as they were."""
    drawn = [p for p in algorithm.parameters() if not p.requires_grad]  # noise is a parameter
    before = [(t, t.detach().clone()) for t in (*drawn, *algorithm.buffers())]
    with ExitStack() as inside, preserved_modes(algorithm):
        instead = replaced(algorithm, "_periodically_update_lagged_network_weights", _nothing)
        inside.enter_context(instead)
        algorithm.train()
        try:
            yield
        finally:
            for tensor, value in before:
                tensor.data.copy_(value)  # past autograd: what it saved are products


def _nothing() -> None:
    """Leave target networks alone."""
