"""Diagnostics in the logs of training loops that know no evaluators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from d3rlpy.logging import CombineAdapter, LoggerAdapter, LoggerAdapterFactory

__all__ = ["DiagnosticsAdapterFactory"]

Measure = Callable[[Any], dict[str, float]]


class DiagnosticsAdapterFactory(LoggerAdapterFactory):  # type: ignore[misc]
    """Adds diagnostics to what another logger of d3rlpy writes.

    Whenever d3rlpy commits its metrics, at the end of an epoch or every
    ``logging_steps``, the diagnostics are measured and written next to them: with
    ``FileAdapterFactory`` one CSV file each, with ``TensorboardAdapterFactory`` one
    curve each. In ``fit_online``, which takes no evaluators, this is the way; in ``fit``
    evaluators do the same and the history that it returns has them too. One of the two
    is enough: both would write every value twice.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import d3rlpy
        >>> import gymnasium
        >>> from offline_prune.diagnostics import DiagnosticsAdapterFactory, NetworkDiagnostics
        >>> env = gymnasium.make("CartPole-v1")
        >>> algo = d3rlpy.algos.DQNConfig(batch_size=16).create()
        >>> buffer = d3rlpy.dataset.create_fifo_replay_buffer(1_000, env=env)
        >>> diagnostics = NetworkDiagnostics(buffer, n_transitions=20)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = d3rlpy.logging.FileAdapterFactory(folder)
        ...     algo.fit_online(
        ...         env, buffer, n_steps=60, n_steps_per_epoch=30, update_start_step=20,
        ...         logger_adapter=DiagnosticsAdapterFactory(files, diagnostics),
        ...         show_progress=False,
        ...     )
        ...     [written] = Path(folder).glob("*/srank_critic*.csv")
        ...     print(len(written.read_text().splitlines()))
        2
    """

    def __init__(self, inner: LoggerAdapterFactory, diagnostics: Measure) -> None:
        """Wrap a logger.

        Args:
            inner: Makes the logger that writes: ``FileAdapterFactory(...)``,
                ``CombineAdapterFactory([...])``, …
            diagnostics: Algorithm → name → value, a
                :class:`~offline_prune.diagnostics.NetworkDiagnostics`.
        """
        self._inner, self._diagnostics = inner, diagnostics

    def create(self, algo: Any, experiment_name: str, n_steps_per_epoch: int) -> LoggerAdapter:
        """Make the logger of one training; d3rlpy calls it.

        Args:
            algo: The algorithm that is trained.
            experiment_name: Name of the run.
            n_steps_per_epoch: Steps an epoch.

        Returns:
            The logger.
        """
        inner = self._inner.create(algo, experiment_name, n_steps_per_epoch)
        return _DiagnosticsAdapter(inner, algo, self._diagnostics)


class _DiagnosticsAdapter(CombineAdapter):  # type: ignore[misc]
    """The logger alone, as d3rlpy passes calls on to several; it measures before a commit."""

    def __init__(self, inner: LoggerAdapter, algo: Any, diagnostics: Measure) -> None:
        super().__init__([inner])
        self._algo, self._diagnostics = algo, diagnostics

    def after_write_metric(self, epoch: int, step: int) -> None:
        for name, value in self._diagnostics(self._algo).items():
            self.write_metric(epoch, step, name, value)
        super().after_write_metric(epoch, step)
