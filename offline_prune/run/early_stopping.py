"""End a run before its last step, with a whole result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from offline_prune.base.arguments import finite_number, whole_number
from offline_prune.errors import InputError, UnknownNameError

__all__ = ["EarlyStopping", "StopTraining"]

Mode = Literal["min", "max"]


class StopTraining(Exception):
    """Raise it in a callback or an evaluator: training ends, and the result is whole.

    Examples:
        >>> from offline_prune import StopTraining, prune_then_train
        >>> def enough(algo, epoch, step):
        ...     if step == 20:
        ...         raise StopTraining
        >>> result = prune_then_train(
        ...     "pendulum/mixture-v0", "bc", sparsity=0.9, n_steps=1_000, callback=enough,
        ...     evaluate=0, progress=False,
        ... )
        >>> result.settings.n_steps
        20
    """


@dataclass(frozen=True)
class EarlyStopping:
    """Stop once a metric has not improved for some epochs.

    ``prune_then_train(…, early_stopping=EarlyStopping("loss"))``; with
    ``evaluators={"td": …}`` also on what an evaluator returns. The weights are those of the
    last epoch: nothing goes back to the best one.

    Attributes:
        metric: Name of a metric of d3rlpy's (``"loss"``, ``"critic_loss"``, …) or an evaluator.
        patience: Epochs without an improvement that are waited for.
        mode: Whether lower (``"min"``) or higher (``"max"``) is better.
        min_change: What counts as an improvement, at least.

    Examples:
        >>> from offline_prune import EarlyStopping
        >>> rule = EarlyStopping("loss", patience=2)
        >>> rule.is_over([{"loss": 1.0}, {"loss": 0.5}, {"loss": 0.6}])
        False
        >>> rule.is_over([{"loss": 1.0}, {"loss": 0.5}, {"loss": 0.6}, {"loss": 0.7}])
        True
    """

    metric: str
    patience: int = 5
    mode: Mode = "min"
    min_change: float = 0.0

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            InputError: If one is wrong.
        """
        if not isinstance(self.metric, str):
            raise InputError(f"metric is the name of one, not {type(self.metric).__name__}.")
        whole_number("patience", self.patience, 1)
        if self.mode not in get_args(Mode):
            raise UnknownNameError("mode of early stopping", str(self.mode), get_args(Mode))
        if finite_number("min_change", self.min_change) < 0.0:
            raise InputError(f"min_change is at least 0, not {self.min_change!r}.")

    def is_over(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Whether to stop after the last of these epochs.

        Args:
            history: One row of metrics an epoch.

        Returns:
            True if none of the last ``patience`` epochs improved on the best before.

        Raises:
            UnknownNameError: If there is no such metric.
        """
        best, since = math.inf, 0
        for row in history:
            if self.metric not in row:
                raise UnknownNameError("metric", self.metric, set(row) - {"epoch", "step"})
            value = row[self.metric] if self.mode == "min" else -row[self.metric]
            if value < best - self.min_change:
                best, since = value, 0
            else:
                since += 1
        return since >= self.patience
