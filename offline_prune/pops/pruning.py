"""The phase that prunes: ever sparser while distilling, as long as the gate agrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.engines import RegrowingEngine
from offline_prune.masks.allocation import keep_highest, kept_count
from offline_prune.masks.build import all_kept, mask_from_kept
from offline_prune.masks.mask import Mask
from offline_prune.masks.schedules import cubic_sparsity, update_interval
from offline_prune.pops.gate import Gate
from offline_prune.pops.options import ShrinkOptions
from offline_prune.pops.student import Workshop, weights_of

__all__ = ["MagnitudeSchedule", "PruningPhase", "SparseStudent", "prune_student"]

_MASK_INTERVAL = 100


@dataclass(frozen=True)
class SparseStudent:
    """A pruned student that reached the objective.

    Attributes:
        state: Its parameters and buffers.
        mask: Which weights were kept.
        score: The gate's.
        step: Gradient steps of the phase that were done.
    """

    state: dict[str, Tensor]
    mask: Mask
    score: float
    step: int


@dataclass(frozen=True)
class PruningPhase:
    """How pruning a student went.

    Attributes:
        sparsest: The sparsest student that reached the objective; None if none did.
        best_score: The gate's highest score, of any student.
        steps: Gradient steps.
        history: One row an evaluation of the gate.
    """

    sparsest: SparseStudent | None
    best_score: float
    steps: int
    history: tuple[dict[str, float], ...]


class MagnitudeSchedule:
    """Keep the largest weights of every tensor, ever fewer, while its clock runs.

    Every weight tensor, the head's too, has the sparsity of
    :func:`~offline_prune.masks.schedules.cubic_sparsity` from 0 to ``n_steps``; one
    weight a tensor stays in any case. Gradients and moments are dense meanwhile, so that
    what was pruned may come back, as in gradual magnitude pruning.

    A mask is made at the first step of an interval and has the sparsity of its end: the
    student has the rest of the interval to recover. While :attr:`frozen`, the mask is
    held and the clock stands.

    Attributes:
        frozen: Whether the clock stands.
        clock: Gradient steps taken while it ran.
        mask: The mask in force.
    """

    def __init__(self, agent: Agent, final_sparsity: float, n_steps: int, interval: int) -> None:
        """Hold a mask that keeps everything.

        Args:
            agent: The student.
            final_sparsity: Of every weight tensor, when the clock is at ``n_steps``.
            n_steps: Gradient steps of the schedule.
            interval: Gradient steps between two masks.
        """
        self._agent, self._final = agent, final_sparsity
        self._n_steps, self._interval = n_steps, interval
        self._engine = RegrowingEngine(agent)
        self._fewest = sum(kept_count(w.numel(), final_sparsity) for w in agent.weights.values())
        self.frozen = False
        self.clock = 0
        self.mask = mask_from_kept(agent, all_kept(agent))
        self._engine.attach(self.mask, "any_step")

    @property
    def is_done(self) -> bool:
        """Whether the clock is at its end, or no mask to come keeps fewer weights."""
        return self.clock >= self._n_steps or self.mask.n_kept == self._fewest

    def after_step(self) -> None:
        """Count a gradient step, and prune at the first one of an interval."""
        if self.frozen or self.is_done:
            return
        if self.clock % self._interval == 0:
            end = self.clock + self._interval
            sparsity = cubic_sparsity(end, self._final, 0, self._n_steps)
            kept = {
                name: keep_highest(value.abs(), kept_count(value.numel(), sparsity))
                for name, value in self._engine.unmasked().items()
            }
            self.mask = mask_from_kept(self._agent, kept)
            self._engine.update(self.mask)
        self.clock += 1

    def release(self) -> None:
        """Let go of the student: plain weights, the pruned ones exactly zero."""
        self._engine.detach()


def prune_student(
    workshop: Workshop,
    student: Any,
    gate: Gate,
    options: ShrinkOptions,
    after_step: Callable[[], None] = lambda: None,
) -> PruningPhase:
    """Prune a student while it is distilled, up to the sparsest one that is good enough.

    Every ``gate_interval`` gradient steps the gate scores the student as it is, pruned.
    From the objective on it is kept as the sparsest good one, and pruning goes on.
    Between the lower bound and the objective pruning goes on as well, and nothing is kept.
    Below the lower bound the evaluation failed: the schedule freezes, and runs again from
    the first evaluation that is at the lower bound or above. At the schedule's end
    everything below the objective failed.

    The phase ends after ``patience`` failures in a row, or with a good student at the
    schedule's end. That is reached early where no later mask would keep fewer weights.

    Args:
        workshop: Trains the student.
        student: The student to prune; it is changed.
        gate: Scores it.
        options: Length and final sparsity of the schedule, ``gate_interval`` and ``patience``.
        after_step: Called after every gradient step.

    Returns:
        How it went.

    Raises:
        NonFiniteError: If a weight is NaN or infinite at an evaluation.
    """
    n_steps, gate_interval, patience = options.n_steps, options.gate_interval, options.patience
    interval = update_interval(n_steps, None, min(_MASK_INTERVAL, gate_interval))
    schedule = MagnitudeSchedule(Agent.of(student), options.final_sparsity, n_steps, interval)
    sparsest: SparseStudent | None = None
    history: list[dict[str, float]] = []
    failures, step, best_score = 0, 0, -float("inf")
    # At most patience − 1 failures lie between two intervals in which the clock runs.
    longest = (n_steps + 2 * gate_interval) * patience

    def advance() -> None:
        schedule.after_step()
        after_step()

    try:
        for step, loss in workshop.train(student, longest, gate_interval, advance):
            score = gate.score(student)
            mask = schedule.mask
            history.append(
                {"step": step, "loss": loss, "sparsity": mask.sparsity, "gate_score": score}
            )
            best_score = max(best_score, score)
            is_good = score >= gate.objective
            schedule.frozen = score < gate.lower_bound
            failed = schedule.frozen or (schedule.is_done and not is_good)
            failures = failures + 1 if failed else 0
            if is_good:
                sparsest = SparseStudent(weights_of(student), mask, score, step)
            if failures >= patience or (is_good and schedule.is_done):
                break
    finally:
        schedule.release()
    return PruningPhase(sparsest, best_score, step, tuple(history))
