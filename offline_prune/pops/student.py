"""Students: stock d3rlpy imitators that learn from a teacher instead of the actions."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models.torch.imitators import ImitationLoss
from torch import Tensor

from offline_prune.acting.policy import acting_head
from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.encoders import with_widths
from offline_prune.errors import NonFiniteError
from offline_prune.pops.distillation import kullback_leibler, squashed_mean_square
from offline_prune.pops.teacher import Teacher

__all__ = ["Workshop", "distilled"]


@dataclass(frozen=True)
class Workshop:
    """Makes students of one teacher and trains them.

    Attributes:
        teacher: The teacher.
        data: The fixed dataset; its states are those that students learn on.
        batch_size: States a gradient step.
        learning_rate: Of Adam.
        temperature: τ of the discrete loss.
    """

    teacher: Teacher
    data: Dataset
    batch_size: int
    learning_rate: float
    temperature: float

    def build(self, widths: tuple[int, ...]) -> Any:
        """A student with initial weights from torch's global random state.

        Args:
            widths: Of its hidden layers.

        Returns:
            A built ``DiscreteBC`` or ``BC`` with the teacher's scalers.
        """
        teacher = self.teacher.algo
        options: dict[str, Any] = {
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "encoder_factory": with_widths(self.teacher.encoder_factory, widths),
            "observation_scaler": copy.deepcopy(teacher.config.observation_scaler),
        }
        if self.teacher.policy.discrete:
            config = DiscreteBCConfig(**options)
        else:
            scaler = copy.deepcopy(teacher.config.action_scaler)
            config = BCConfig(**options, action_scaler=scaler)
        student = config.create(device=teacher.impl.device)
        student.create_impl(teacher.impl.observation_shape, teacher.impl.action_size)
        return student

    def copy_of_teacher(self) -> Any:
        """A student with the weights of the teacher's policy, or of its first critic."""
        student = self.build(self.teacher.hidden_units)
        imitator, acting = student.impl.modules.imitator, self.teacher.networks[0]
        imitator._encoder.load_state_dict(acting._encoder.state_dict())
        imitator._fc.load_state_dict(acting_head(acting).state_dict())
        return student

    def copy_of(self, student: Any, state: dict[str, Tensor] | None = None) -> Any:
        """A student of the same widths and weights, its optimizer fresh.

        Args:
            student: The student to copy.
            state: Weights to give it instead (:func:`weights_of`).
        """
        made = self.build(widths(student))
        made.impl.modules.imitator.load_state_dict(weights_of(student) if state is None else state)
        return made

    def train(
        self,
        student: Any,
        n_steps: int,
        interval: int,
        after_step: Callable[[], None] | None = None,
    ) -> Iterator[tuple[int, float]]:
        """Distil with d3rlpy's own loop, pausing every ``interval`` steps.

        Args:
            student: The student.
            n_steps: Gradient steps; rounded up to whole intervals.
            interval: Steps between two pauses.
            after_step: Called after every gradient step.

        Yields:
            Steps that are done and the mean loss of the last interval. Stop iterating to
            stop training.

        Raises:
            NonFiniteError: If a weight, the mean loss or an action is NaN or infinite at a
                pause.
        """
        steps = -(-n_steps // interval) * interval
        some = np.arange(min(self.batch_size, self.data.buffer.transition_count))
        states = self.data.buffer.batch_at(some).observations
        with distilled(student, self.teacher, self.temperature):
            # Nothing is logged: there is no file that an early stop would leave open.
            epochs = student.fitter(
                self.data.buffer,
                n_steps=steps,
                n_steps_per_epoch=interval,
                logger_adapter=NoopAdapterFactory(),
                show_progress=False,
                callback=None if after_step is None else lambda *_: after_step(),
            )
            with contextlib.closing(epochs):
                for epoch, metrics in epochs:
                    loss = float(metrics["loss"])
                    _check_finite(student, states, loss, epoch * interval)
                    yield epoch * interval, loss


@contextlib.contextmanager
def distilled(student: Any, teacher: Teacher, temperature: float) -> Iterator[None]:
    """Let d3rlpy's updates of a student minimise the distillation loss meanwhile.

    The student's ``impl.compute_loss`` is shadowed on the instance, and is its class's
    again afterwards: a saved student is plain stock.

    Args:
        student: A built ``DiscreteBC`` or ``BC``.
        teacher: Its teacher.
        temperature: τ of the discrete loss.
    """
    imitator = student.impl.modules.imitator

    def compute_loss(observations: Tensor, actions: Tensor) -> ImitationLoss:
        wanted = teacher.preferences(observations)
        outputs = imitator._fc(imitator._encoder(observations))
        if teacher.policy.discrete:
            return ImitationLoss(kullback_leibler(wanted, outputs, temperature))
        return ImitationLoss(squashed_mean_square(wanted, outputs))

    student.impl.compute_loss = compute_loss
    try:
        yield
    finally:
        del student.impl.compute_loss


def widths(student: Any) -> tuple[int, ...]:
    """Widths of a student's hidden layers: rows of all its weight tensors but the head's."""
    *hidden, _ = Agent.of(student).weights.values()
    return tuple(len(weight) for weight in hidden)


def weights_of(student: Any) -> dict[str, Tensor]:
    """A copy of a student's parameters and buffers."""
    state = student.impl.modules.imitator.state_dict()
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _check_finite(student: Any, states: Any, loss: float, step: int) -> None:
    parameters = student.impl.modules.imitator.parameters()
    cause = None
    is_finite = math.isfinite(loss) and all(bool(torch.isfinite(p).all()) for p in parameters)
    if is_finite:
        try:
            is_finite = bool(np.isfinite(student.predict(states)).all())
        except ValueError as error:  # torch refuses to choose among NaN
            is_finite, cause = False, error
    if not is_finite:
        raise NonFiniteError(
            f"A student's weights, its loss ({loss}) or its actions are no longer finite at"
            f" gradient step {step}. Try a smaller learning_rate or a higher temperature, and"
            " check that the teacher's outputs are finite."
        ) from cause
