"""Train a pruned agent with d3rlpy's own loop."""

from __future__ import annotations

import inspect
import math
import numbers
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from d3rlpy.algos import QLearningAlgoBase
from d3rlpy.constants import LoggingStrategy
from d3rlpy.logging import NoopAdapterFactory
from torch import Tensor

from offline_prune.base.arguments import check_switch, shown, whole_number
from offline_prune.base.progress import ProgressBar
from offline_prune.data import Dataset
from offline_prune.errors import InputError, NonFiniteError, UnknownNameError
from offline_prune.run.averaging import NO_AVERAGING, Averaging, WeightAverage
from offline_prune.run.checkpoint import Checkpoint, Progress, can_resume
from offline_prune.run.early_stopping import EarlyStopping, StopTraining
from offline_prune.run.pruned_agent import PrunedAgent

__all__ = [
    "TrainingRecord",
    "check_epochs",
    "check_fit_options",
    "epoch_length",
    "train",
]

# Short enough for a learning curve and to notice divergence early; costs no time.
_EPOCH_STEPS = range(250, 1001)


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


def epoch_length(n_steps: int) -> int:
    """Steps an epoch so that d3rlpy trains exactly ``n_steps``.

    ``fit`` trains ``n_steps // n_steps_per_epoch`` whole epochs and drops the rest
    without a word.

    Args:
        n_steps: Gradient steps, at least 1.

    Returns:
        The longest divisor of ``n_steps`` from 250 to 1 000; ``n_steps`` itself where
        there is none.
    """
    divisors = (d for d in reversed(_EPOCH_STEPS) if n_steps % d == 0)
    return next(divisors, n_steps)


def check_fit_options(options: Mapping[str, Any]) -> None:
    """Check the names of options for d3rlpy's ``fit`` before any work is done.

    Args:
        options: Keyword arguments for ``fit``.

    Raises:
        UnknownNameError: If ``fit`` has no such option, or it is one of this package's.
        InputError: If an option is of the wrong kind, or says how to write the files of a
            logger without there being one.
    """
    ours = {"self", "dataset", "n_steps", "show_progress"}
    known = set(inspect.signature(QLearningAlgoBase.fit).parameters) - ours | {"early_stopping"}
    for name in options:
        if name not in known:
            raise UnknownNameError("option", name, known)
    stopping = options.get("early_stopping")
    if not isinstance(stopping, EarlyStopping | None):
        raise InputError(f"early_stopping is an EarlyStopping('loss'), not {shown(stopping)}.")
    for name in ("callback", "epoch_callback"):
        if options.get(name) is not None and not callable(options[name]):
            raise InputError(f"{name} is a function, not {type(options[name]).__name__}.")
    evaluators = options.get("evaluators")
    is_mapping = isinstance(evaluators, Mapping) and all(map(callable, evaluators.values()))
    if evaluators is not None and not is_mapping:
        raise InputError(
            "evaluators are a mapping of name → function of the algorithm and the dataset, not"
            f" {shown(evaluators)}."
        )
    logger = options.get("logger_adapter")
    makes_loggers = callable(getattr(logger, "create", None)) and not isinstance(logger, type)
    if "logger_adapter" in options and not makes_loggers:
        raise InputError(
            "logger_adapter is one of d3rlpy's, such as d3rlpy.logging.FileAdapterFactory(), not"
            f" {shown(logger)}."
        )
    for name in ("experiment_name", "with_timestamp", "save_interval"):
        if name in options and logger is None:
            raise InputError(
                f"{name} is about the files of a logger, and without one none are written:"
                " pass logger_adapter=d3rlpy.logging.FileAdapterFactory() too."
            )
    if not isinstance(options.get("experiment_name"), str | None):
        raise InputError(f"experiment_name is a word, not {shown(options['experiment_name'])}.")
    check_switch("with_timestamp", options.get("with_timestamp", True))
    whole_number("save_interval", options.get("save_interval", 1), 1)


def check_epochs(options: Mapping[str, Any], n_steps: int) -> None:
    """Check that d3rlpy will train every step asked for, and not fail after an epoch.

    Args:
        options: Keyword arguments for ``fit``.
        n_steps: Gradient steps.

    Raises:
        InputError: If ``n_steps_per_epoch`` does not divide ``n_steps``, or an epoch
            is shorter than the ``logging_steps`` of a logger that counts steps.
    """
    if "logging_steps" in options:
        whole_number("logging_steps", options["logging_steps"], 1)
    strategy = options.get("logging_strategy", LoggingStrategy.EPOCH)
    if not isinstance(strategy, LoggingStrategy):
        raise InputError(f"logging_strategy is a d3rlpy.LoggingStrategy, not {strategy!r}.")
    length: Any = options.get("n_steps_per_epoch")
    is_whole = isinstance(length, numbers.Integral) and not isinstance(length, bool)
    if "n_steps_per_epoch" in options and (not is_whole or length < 1 or n_steps % length):
        trained = n_steps // length * length if is_whole and length > 0 else 0
        raise InputError(
            f"n_steps={n_steps} is not a whole number of epochs of"
            f" n_steps_per_epoch={length!r} steps: d3rlpy would train {trained} steps."
        )
    logging_steps = options.get("logging_steps", 500)  # d3rlpy's default
    epoch = length or epoch_length(n_steps)
    if options.get("logging_strategy") == LoggingStrategy.STEPS and logging_steps > epoch:
        raise InputError(
            f"With LoggingStrategy.STEPS an epoch ({epoch} steps) must hold at least one"
            f" log (logging_steps={logging_steps}); d3rlpy fails at its end otherwise."
            f" Pass logging_steps of {epoch} or less."
        )


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
    if length > _EPOCH_STEPS[-1] and not {"n_steps_per_epoch", "logger_adapter"} & set(given):
        length = _EPOCH_STEPS[-1]  # and a short last one, where no logger counts epochs
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

        def epochs() -> Iterator[dict[str, float]]:
            """Metrics of every epoch, the last one what is left of the steps."""
            nonlocal first_epoch, first_step
            if stopping is not None and stopping.is_over(done.history):
                return  # of a finished run whose state was kept
            while (left := n_steps - first_step) > 0:
                steps, each = (left // length * length, length) if left >= length else (left, left)
                for _, metrics in agent.algo.fitter(
                    data.buffer,
                    n_steps=steps,
                    n_steps_per_epoch=each,
                    show_progress=False,
                    callback=after_step,
                    epoch_callback=after_epoch,
                    **options,
                ):
                    yield metrics
                first_epoch, first_step = done.epochs, first_step + steps

        start = time.perf_counter() - done.seconds
        try:
            for metrics in epochs():
                _check_losses(metrics, taken)
                row = {"epoch": done.epochs + 1, "step": taken, **metrics}
                done = Progress(done.epochs + 1, (*done.history, row), time.perf_counter() - start)
                if checkpoint is not None:
                    state = None if observer is None else observer.state_dict()
                    checkpoint.save(done, state, average)
                if stopping is not None and stopping.is_over(done.history):
                    break
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
