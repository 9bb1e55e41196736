"""What remains of many verdicts when all of them shall hold at once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from offline_prune.base.arguments import finite_number, shown
from offline_prune.errors import InputError
from offline_prune.evaluation.statistics.intervals import Estimate, Verdict

__all__ = ["holm", "verdicts_together"]

Key = TypeVar("Key", bound=Hashable)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """p-values, corrected for how many there are.

    Formula: of m in ascending order the i-th becomes ``max over j ≤ i of
    min(1, (m − j + 1) · p_j)``. Below α it is with a probability of α at most where any of the
    hypotheses that hold is rejected, whatever depends on what.

    Args:
        p_values: Comparison → p-value.

    Returns:
        Comparison → corrected p-value, in the same order.

    Raises:
        InputError: If they are no mapping, or one of them does not lie in [0, 1].

    References:
        Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian
        Journal of Statistics 6.

    Examples:
        >>> from offline_prune.evaluation.statistics import holm
        >>> holm({"bc": 0.02, "iql": 0.01, "cql": 0.5})
        {'bc': 0.04, 'iql': 0.03, 'cql': 0.5}
    """
    if not isinstance(p_values, Mapping):
        raise InputError(f"Expected comparison → p-value, not {shown(p_values)}.")
    for name, p in p_values.items():
        if not 0.0 <= finite_number("a p-value", p) <= 1.0:
            raise InputError(f"The p-value of {name!r} is {p!r}: expected one in [0, 1].")
    corrected: dict[Key, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


def verdicts_together(ratios: Mapping[Key, Estimate]) -> dict[Key, Verdict]:
    """Verdicts of many ratios, of which none is wrong with the probability of their level.

    By :func:`holm` over their :attr:`~Estimate.p_value`: what is not sure enough any more is
    undecided. Alone, each verdict is wrong in 5 % at most; of twenty one would be.

    Args:
        ratios: Comparison → ratio with its interval and bar.

    Returns:
        Comparison → verdict, in the same order.

    Examples:
        >>> from offline_prune.evaluation.statistics import Estimate, verdicts_together
        >>> sure = Estimate(0.6, 0.55, 0.65, error=0.018, seeds=5, degrees=4)
        >>> just = Estimate(0.9, 0.84, 0.96, error=0.0216, seeds=5, degrees=4)
        >>> sure.verdict, just.verdict
        ('not retained', 'not retained')
        >>> verdicts_together({"a": sure, "b": just, "c": just})
        {'a': 'not retained', 'b': 'undecided', 'c': 'undecided'}
    """
    corrected = holm({name: ratio.p_value for name, ratio in ratios.items()})
    return {
        name: ratio.verdict if corrected[name] <= 1.0 - ratio.level else "undecided"
        for name, ratio in ratios.items()
    }
