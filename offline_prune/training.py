"""Train a pruned agent with d3rlpy's own loop."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from d3rlpy.algos import QLearningAlgoBase
from d3rlpy.constants import LoggingStrategy
from d3rlpy.logging import NoopAdapterFactory

from offline_prune.data import Dataset
from offline_prune.errors import InputError, NonFiniteError, UnknownNameError
from offline_prune.progress import ProgressBar
from offline_prune.pruned_agent import PrunedAgent

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
        seconds: Wall-clock seconds of ``fit``.
        history: One row an epoch: ``epoch``, ``step`` and the mean of each metric of
            d3rlpy's.
    """

    seconds: float
    history: tuple[dict[str, float], ...]


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
    """
    ours = {"self", "dataset", "n_steps", "show_progress"}
    known = set(inspect.signature(QLearningAlgoBase.fit).parameters) - ours
    for name in options:
        if name not in known:
            raise UnknownNameError("option", name, known)


def check_epochs(options: Mapping[str, Any], n_steps: int) -> None:
    """Check that d3rlpy will train every step asked for, and not fail after an epoch.

    Args:
        options: Keyword arguments for ``fit``.
        n_steps: Gradient steps.

    Raises:
        InputError: If ``n_steps_per_epoch`` does not divide ``n_steps``, or an epoch
            is shorter than the ``logging_steps`` of a logger that counts steps.
    """
    length = options.get("n_steps_per_epoch")
    if length is not None and (length < 1 or n_steps % length):
        raise InputError(
            f"n_steps={n_steps} is not a whole number of epochs of"
            f" n_steps_per_epoch={length} steps: d3rlpy would train"
            f" {n_steps // max(1, length) * length} steps."
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
    progress: bool = False,
) -> TrainingRecord:
    """Run d3rlpy's ``fit`` on the pruned agent.

    Args:
        agent: The agent; its mask is attached.
        data: The fixed dataset.
        n_steps: Gradient steps.
        fit_options: Further keyword arguments of d3rlpy's ``fit``. Without a
            ``logger_adapter`` nothing is written to disk.
        progress: Whether to show a progress bar.

    Returns:
        Time and history.

    Raises:
        NonFiniteError: If a weight is NaN or infinite at the end of an epoch; says
            which network and at which step.
    """
    options = {
        "n_steps_per_epoch": epoch_length(n_steps),
        "logger_adapter": NoopAdapterFactory(),
        **(fit_options or {}),
    }
    user_callback = options.pop("callback", None)
    user_epoch_callback = options.pop("epoch_callback", None)
    with ProgressBar(f"Training {agent.name}", n_steps, "steps", show=progress) as bar:

        def after_step(algo: Any, epoch: int, step: int) -> None:
            agent.callback(algo, epoch, step)
            bar.advance()
            if user_callback is not None:
                user_callback(algo, epoch, step)

        def after_epoch(algo: Any, epoch: int, step: int) -> None:
            _check_finite(agent, step)
            if user_epoch_callback is not None:
                user_epoch_callback(algo, epoch, step)

        start = time.perf_counter()
        history = agent.algo.fit(
            data.buffer,
            n_steps=n_steps,
            show_progress=False,
            callback=after_step,
            epoch_callback=after_epoch,
            **options,
        )
        seconds = time.perf_counter() - start
    length = options["n_steps_per_epoch"]
    rows = ({"epoch": e, "step": e * length, **metrics} for e, metrics in history)
    return TrainingRecord(seconds, tuple(rows))


def _check_finite(agent: PrunedAgent, step: int) -> None:
    weights = agent.engine.weights()
    for network in agent.networks:
        if not all(bool(torch.isfinite(weights[name]).all()) for name in network.weights):
            raise NonFiniteError(
                f"The weights of {network.role} are no longer finite at gradient step"
                f" {step}: training diverged. Try a smaller learning rate or a"
                " reward_scaler."
            )
