"""d3rlpy's ``fit``, epoch by epoch, of Q-learning algorithms and of sequence models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from d3rlpy.logging import LoggerAdapter, LoggerAdapterFactory

from offline_prune.agents.sequences import is_sequence_model
from offline_prune.data.buffer import FlatReplayBuffer

__all__ = ["fit"]

Metrics = dict[str, float]


def fit(
    algo: Any, buffer: FlatReplayBuffer, ended: Callable[[Metrics], None], **options: Any
) -> None:
    """Train, and hear of every epoch when all of it is done.

    Sequence models have no epochs to iterate over and no ``epoch_callback`` or
    ``evaluators``: a logger of d3rlpy's, around the one that is given, stands in for them.

    Args:
        algo: The algorithm.
        buffer: What it trains on.
        ended: Gets the metrics of an epoch, after the logger has them and has saved the model;
            what it raises ends training.
        **options: Of d3rlpy's ``fitter``, with a ``logger_adapter``.
    """
    if not is_sequence_model(algo):
        for _, metrics in algo.fitter(buffer, **options):
            ended(metrics)
        return
    factory = _Epochs(
        options.pop("logger_adapter"),
        options.pop("epoch_callback"),
        options.pop("evaluators", {}),
        options.pop("save_interval", 1),
        buffer,
        ended,
    )
    algo.fit(buffer, logger_adapter=factory, save_interval=1, **options)


class _Epochs(LoggerAdapterFactory):  # type: ignore[misc]
    """Makes the one logger of a ``fit``."""

    def __init__(self, inner: Any, *own: Any) -> None:
        self._inner, self._own = inner, own

    def create(self, algo: Any, experiment_name: str, n_steps_per_epoch: int) -> LoggerAdapter:
        return _Epoch(
            self._inner.create(algo, experiment_name, n_steps_per_epoch), algo, *self._own
        )


class _Epoch(LoggerAdapter):  # type: ignore[misc]
    """Passes everything on, the epoch callback first, the model last."""

    def __init__(
        self,
        inner: Any,
        algo: Any,
        callback: Callable[[Any, int, int], None],
        evaluators: Mapping[str, Callable[[Any, Any], float]],
        save_interval: int,
        buffer: FlatReplayBuffer,
        ended: Callable[[Metrics], None],
    ) -> None:
        self._inner, self._algo, self._callback = inner, algo, callback
        self._evaluators, self._save_interval = evaluators, save_interval
        self._buffer, self._ended = buffer, ended
        self._metrics: Metrics = {}
        self._epoch = 0

    def write_params(self, params: dict[str, Any]) -> None:
        self._inner.write_params(params)

    def before_write_metric(self, epoch: int, step: int) -> None:
        self._epoch, self._metrics = epoch, {}
        self._callback(self._algo, epoch, step)
        self._inner.before_write_metric(epoch, step)

    def write_metric(self, epoch: int, step: int, name: str, value: float) -> None:
        self._metrics[name] = value
        self._inner.write_metric(epoch, step, name, value)

    def after_write_metric(self, epoch: int, step: int) -> None:
        for name, evaluator in self._evaluators.items():
            self.write_metric(epoch, step, name, evaluator(self._algo, self._buffer))
        self._inner.after_write_metric(epoch, step)

    def watch_model(self, epoch: int, step: int) -> None:
        self._inner.watch_model(epoch, step)

    def save_model(self, epoch: int, algo: Any) -> None:  # d3rlpy passes the step as epoch
        if self._epoch % self._save_interval == 0:
            self._inner.save_model(epoch, algo)
        self._ended(self._metrics)

    def close(self) -> None:
        self._inner.close()
