"""Train a pruned agent with d3rlpy's own loop."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from d3rlpy.logging import NoopAdapterFactory
from torch import Tensor

from offline_prune.base.progress import ProgressBar
from offline_prune.data import Dataset
from offline_prune.errors import NonFiniteError
from offline_prune.run.averaging import NO_AVERAGING, Averaging, WeightAverage
from offline_prune.run.checkpoint import Checkpoint, Progress, can_resume
from offline_prune.run.early_stopping import EarlyStopping, StopTraining
from offline_prune.run.fit_checks import EPOCH_STEPS, epoch_length
from offline_prune.run.fitting import fit
from offline_prune.run.pruned_agent import PrunedAgent

__all__ = ["TrainingRecord", "train"]


@dataclass(frozen=True)
class TrainingRecord:
    """How training went.

    Attributes:
        steps: Gradient steps taken: fewer than asked for where something stopped the run.
        seconds: Wall-clock seconds of ``fit``; of a resumed run, of all its parts.
        history: One row an epoch: ``epoch``, ``step`` and the mean of each metric of
            d3rlpy's.
        checkpoint: Where the run's state is; None where none was asked for.
        average: Name → averaged weight of the networks that act; None where none was taken.
    """

    steps: int
    seconds: float
    history: tuple[dict[str, float], ...]
    checkpoint: Checkpoint | None = None
    average: Mapping[str, Tensor] | None = None


def train(
    agent: PrunedAgent,
    data: Dataset,
    n_steps: int,
    *,
    fit_options: Mapping[str, Any] | None = None,
    averaging: Averaging = NO_AVERAGING,
    progress: bool = False,
    checkpoint_dir: str | Path | None = None,
) -> TrainingRecord:
    """Run d3rlpy's ``fit`` on the pruned agent.

    Args:
        agent: The agent; its mask is attached.
        data: The fixed dataset.
        n_steps: Gradient steps.
        fit_options: Further keyword arguments of d3rlpy's ``fit``, and ``early_stopping``.
            Without a ``logger_adapter`` nothing is written to disk.
        averaging: Of the networks that act; the algorithm goes on with the raw weights.
        progress: Whether to show a progress bar.
        checkpoint_dir: Folder for the state of the run at the end of every epoch; a run
            that finds its own there goes on from it. An ``epoch_callback`` that has a
            ``state_dict`` and a ``load_state_dict`` is saved and restored with it.
            Callbacks count steps and epochs from the run's beginning, loggers from where
            it was resumed.

    Returns:
        Time and history.

    Raises:
        NonFiniteError: If a weight or a mean loss is NaN or infinite at the end of an
            epoch, or torch stops on one before; says which network and at which step.
    """
    given = dict(fit_options or {})
    options = {"logger_adapter": NoopAdapterFactory(), **given}
    stopping: EarlyStopping | None = options.pop("early_stopping", None)
    length = options.pop("n_steps_per_epoch", None) or epoch_length(n_steps)
    if length > EPOCH_STEPS[-1] and not {"n_steps_per_epoch", "logger_adapter"} & set(given):
        length = EPOCH_STEPS[-1]  # and a short last one, where no logger counts epochs
    user_callback = options.pop("callback", None)
    user_epoch_callback = options.pop("epoch_callback", None)
    observer = user_epoch_callback if hasattr(user_epoch_callback, "load_state_dict") else None
    average = WeightAverage(agent.algo, averaging, n_steps)
    checkpoint = None
    done = Progress(0, (), 0.0)
    if checkpoint_dir is not None and can_resume(agent):
        schedule = (n_steps, length, observer is not None, str(averaging))
        checkpoint = Checkpoint(checkpoint_dir, agent, data, schedule)
        done = checkpoint.restore(observer, average) or done
    first_epoch, first_step = done.epochs, min(done.epochs * length, n_steps)
    with ProgressBar(f"Training {agent.name}", n_steps, "steps", show=progress) as bar:
        bar.advance(first_step)

        taken = first_step

        def after_step(algo: Any, epoch: int, step: int) -> None:
            nonlocal taken
            epoch, step = first_epoch + epoch, first_step + step
            taken = step
            agent.callback(algo, epoch, step)
            average.after_step(agent.engine.mask, step)
            bar.advance()
            if user_callback is not None:
                user_callback(algo, epoch, step)

        def after_epoch(algo: Any, epoch: int, step: int) -> None:
            epoch, step = first_epoch + epoch, first_step + step
            _check_finite(agent, step)
            if user_epoch_callback is not None:
                user_epoch_callback(algo, epoch, step)

        def stop_early() -> None:
            if stopping is not None and stopping.is_over(done.history):
                raise StopTraining

        def ended(metrics: dict[str, float]) -> None:
            """Note an epoch that is over."""
            nonlocal done
            _check_losses(metrics, taken)
            row = {"epoch": done.epochs + 1, "step": taken, **metrics}
            done = Progress(done.epochs + 1, (*done.history, row), time.perf_counter() - start)
            if checkpoint is not None:
                state = None if observer is None else observer.state_dict()
                checkpoint.save(done, state, average)
            stop_early()

        start = time.perf_counter() - done.seconds
        try:
            stop_early()  # of a finished run whose state was kept
            while (left := n_steps - first_step) > 0:  # in the end what is left of the steps
                steps, each = (left // length * length, length) if left >= length else (left, left)
                fit(
                    agent.algo,
                    data.buffer,
                    ended,
                    n_steps=steps,
                    n_steps_per_epoch=each,
                    show_progress=False,
                    callback=after_step,
                    epoch_callback=after_epoch,
                    **options,
                )
                first_epoch, first_step = done.epochs, first_step + steps
        except StopTraining:
            done = Progress(done.epochs, done.history, time.perf_counter() - start)
        except (ValueError, RuntimeError) as error:  # torch refuses some NaN by itself
            _check_finite(agent, taken + 1, error)
            raise
    return TrainingRecord(taken, done.seconds, done.history, checkpoint, average.weights)


def _check_losses(metrics: Mapping[str, float], step: int) -> None:
    for name, value in metrics.items():
        if "loss" in name and not math.isfinite(value):
            raise NonFiniteError(
                f"The mean {name} of the epoch that ends at gradient step {step} is {value}:"
                " training diverged. Try a smaller learning rate or a reward_scaler."
            )


def _check_finite(agent: PrunedAgent, step: int, cause: Exception | None = None) -> None:
    weights = agent.engine.weights()
    for network in agent.networks:
        if not all(bool(torch.isfinite(weights[name]).all()) for name in network.weights):
            raise NonFiniteError(
                f"The weights of {network.role} are no longer finite at gradient step"
                f" {step}: training diverged. Try a smaller learning rate or a"
                " reward_scaler."
            ) from cause
