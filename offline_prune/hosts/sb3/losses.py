"""The losses of Stable-Baselines3, which are inside its ``train`` functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor
from torch.optim import Optimizer

from offline_prune.base.module_modes import preserved_modes
from offline_prune.base.replaced import replaced
from offline_prune.hosts.captured_loss import captured_loss
from offline_prune.hosts.sb3.parts import optimizers_of

__all__ = ["loss_of"]


def loss_of(model: Any, optimizer: Optimizer) -> Callable[[Any], Tensor]:
    """The loss that one of a model's optimizers steps on.

    The model's own ``train`` computes it, on the mini-batch that is given in the place of its
    buffer's, and is left before it differentiates
    (:func:`~offline_prune.hosts.captured_loss.captured_loss`). Nothing of the model changes;
    noise is drawn from torch's random state.

    Args:
        model: A Stable-Baselines3 model.
        optimizer: One of its optimizers.

    Returns:
        Samples of the model's buffer → scalar loss with its graph.
    """

    def loss(batch: Any) -> Tensor:
        def train() -> None:
            if isinstance(model, OnPolicyAlgorithm):
                model.train()
            else:
                model.train(gradient_steps=1, batch_size=len(batch.rewards))

        with _training_on(model, batch):
            return captured_loss(train, optimizers_of(model), optimizer)

    return loss


@dataclass(frozen=True)
class _OneBatch:
    """A buffer that holds a mini-batch."""

    batch: Any

    def get(self, *_: Any, **__: Any) -> Iterator[Any]:
        """As rollout buffers have it."""
        yield self.batch

    def sample(self, *_: Any, **__: Any) -> Any:
        """As replay buffers have it."""
        return self.batch


@contextmanager
def _training_on(model: Any, batch: Any) -> Iterator[None]:
    """Let a model train on a mini-batch, and leave it as it was."""
    buffers = [(b, b.clone()) for b in model.policy.buffers()]
    name = "rollout_buffer" if isinstance(model, OnPolicyAlgorithm) else "replay_buffer"
    instead = {
        name: _OneBatch(batch),
        "_n_updates": -1,  # TD3's actor has a loss every second step, in step 0 too
        "_update_learning_rate": _nothing,
    }
    with ExitStack() as inside, preserved_modes(model.policy):
        for attribute, value in instead.items():
            inside.enter_context(replaced(model, attribute, value))
        try:
            yield
        finally:
            for buffer, before in buffers:
                buffer.data.copy_(before)


def _nothing(*_: Any) -> None:
    """Leave learning rates and logs alone."""
