"""One measurement for all the evaluators of an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from offline_prune.errors import UnknownNameError

__all__ = ["SharedMeasurement"]


class SharedMeasurement:
    """Serves several evaluators of d3rlpy from one measurement.

    d3rlpy asks its evaluators one after the other at the end of an epoch. The first one
    measures, the others take their value from that. It is out of date as soon as the
    algorithm has taken gradient steps or is another one; and a name that is asked for
    again measures again, whatever happened in between.
    """

    def __init__(self, measure: Callable[[Any], dict[str, float]]) -> None:
        """Wrap a measurement.

        Args:
            measure: Algorithm → name → value.
        """
        self._measure = measure
        self._at: tuple[int, int] | None = None
        self._left: dict[str, float] = {}

    def evaluate(self, name: str, algo: Any, dataset: Any) -> float:
        """One value of the measurement.

        Args:
            name: Which.
            algo: A built d3rlpy algorithm.
            dataset: Ignored; d3rlpy passes what it trains on.

        Returns:
            The value.

        Raises:
            UnknownNameError: If the measurement of this algorithm has no such value.
        """
        now = (id(algo.impl), algo.grad_step)
        if now != self._at or name not in self._left:
            measured = self._measure(algo)
            if name not in measured:
                raise UnknownNameError("diagnostic of this algorithm", name, measured)
            self._at, self._left = now, measured
        return self._left.pop(name)
