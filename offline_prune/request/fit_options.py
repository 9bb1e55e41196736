"""Options of d3rlpy's ``fit``, and what ends it early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offline_prune.request.setting import setting, values

if TYPE_CHECKING:
    from offline_prune.run.early_stopping import EarlyStopping

__all__ = ["FitOptions", "fit_options"]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """What is passed on to d3rlpy's ``fit``; None leaves d3rlpy's own default.

    Checked as a whole by :func:`~offline_prune.run.fit_checks.check_fit_options`.
    """

    n_steps_per_epoch: int | None = setting("Gradient steps an epoch of d3rlpy's ``fit``.", None)
    callback: Callable[[Any, int, int], None] | None = setting(
        "Called with algorithm, epoch and step after every step. Raising"
        " :class:`~offline_prune.run.early_stopping.StopTraining` in it ends training, and nothing"
        " else.",
        None,
    )
    epoch_callback: Callable[[Any, int, int], None] | None = setting(
        "The same after every epoch.", None
    )
    evaluators: Mapping[str, Callable[[Any, Any], float | None]] | None = setting(
        "Name → function of algorithm and dataset, measured after every epoch.", None
    )
    early_stopping: EarlyStopping | None = setting(
        "When to stop before the last step:"
        ' ``EarlyStopping("loss")`` (:class:`~offline_prune.run.early_stopping.EarlyStopping`).',
        None,
    )
    logger_adapter: Any = setting(
        "One of d3rlpy's, ``d3rlpy.logging.FileAdapterFactory()``; None writes no logs.", None
    )
    logging_steps: int | None = setting("Steps between two logs, with LoggingStrategy.STEPS.", None)
    logging_strategy: Any = setting("A ``d3rlpy.LoggingStrategy``.", None)
    experiment_name: str | None = setting("Name of the logger's files.", None)
    with_timestamp: bool | None = setting("Whether the time is part of that name.", None)
    save_interval: int | None = setting("Epochs between two models that the logger saves.", None)
    enable_ddp: bool | None = setting("Whether d3rlpy trains on several processes.", None)


def fit_options(request: FitOptions) -> dict[str, Any]:
    """What was given of them.

    Args:
        request: A request that has them.

    Returns:
        Name → value, without what is None.
    """
    return {n: value for n, value in values(request, FitOptions).items() if value is not None}
