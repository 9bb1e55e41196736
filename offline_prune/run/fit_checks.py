"""Options of d3rlpy's ``fit``, checked before any work is done."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

from d3rlpy.constants import LoggingStrategy

from offline_prune.agents.sequences import is_sequence_model
from offline_prune.base.arguments import check_switch, shown, whole_number
from offline_prune.errors import InputError
from offline_prune.run.early_stopping import EarlyStopping

__all__ = [
    "EPOCH_STEPS",
    "check_epochs",
    "check_fit_options",
    "check_for_sequences",
    "epoch_length",
]

EPOCH_STEPS = range(250, 1001)
"""Short enough for a learning curve and to notice divergence early; costs no time."""


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
    divisors = (d for d in reversed(EPOCH_STEPS) if n_steps % d == 0)
    return next(divisors, n_steps)


def check_fit_options(options: Mapping[str, Any]) -> None:
    """Check options for d3rlpy's ``fit`` before any work is done.

    Args:
        options: Keyword arguments for ``fit``.

    Raises:
        InputError: If an option is of the wrong kind, or says how to write the files of a
            logger without there being one.
    """
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


def check_for_sequences(algo: Any, options: Mapping[str, Any], *, diagnostics: bool) -> None:
    """Refuse what d3rlpy's ``fit`` of a sequence model does not take; others pass.

    Args:
        algo: A d3rlpy algorithm.
        options: Keyword arguments for ``fit``.
        diagnostics: Whether networks are to be measured after every epoch.

    Raises:
        InputError: If something of it is asked for.
    """
    if not is_sequence_model(algo):
        return
    for name in ("logging_steps", "logging_strategy", "enable_ddp"):
        if name in options:
            raise InputError(
                f"d3rlpy's fit of {type(algo).__name__} does not take {name}: it logs once an"
                " epoch. Leave it out; n_steps_per_epoch says how long epochs are."
            )
    if diagnostics:
        raise InputError(
            "diagnostics measure networks on single transitions, and"
            f" {type(algo).__name__} reads trajectories: leave them out, or measure what you"
            " need with evaluators={'name': function of algorithm and dataset}."
        )
