"""How many verdicts a study has, and which of them hold all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offline_prune.evaluation.statistics import Estimate, Verdict, holm, verdicts_together
from offline_prune.reporting.comparison import Comparison

__all__ = ["Family", "find_family"]

_SAME = 0.01
"""A task decides nothing where all of its scores lie as close as that to the dense one."""

Place = tuple[str, int]
"""Name of a task, and which of its comparisons."""


@dataclass(frozen=True)
class Family:
    """The verdicts of a study, of all tasks that decide anything.

    Attributes:
        together: Comparison → verdict when all shall hold with 95 %.
        corrected: Comparison → p-value of the ratio being the bar, corrected likewise (Holm).
        undeciding: Tasks on which every method scores as dense does; they are not counted.
    """

    together: Mapping[Place, Verdict]
    corrected: Mapping[Place, float]
    undeciding: tuple[str, ...]


def find_family(comparisons: Mapping[str, tuple[Comparison, ...]]) -> Family:
    """Count and correct the verdicts of a study.

    Args:
        comparisons: Task → comparisons.

    Returns:
        The family. What a failed run decides is in it as its ratio says.
    """
    undeciding = tuple(task for task, found in comparisons.items() if not _decides(found))
    ratios: dict[Place, Estimate] = {
        (task, place): comparison.ratio
        for task, found in comparisons.items()
        for place, comparison in enumerate(found)
        if comparison.ratio is not None and task not in undeciding
    }
    corrected = holm({place: ratio.p_value for place, ratio in ratios.items()})
    return Family(verdicts_together(ratios), corrected, undeciding)


def _decides(found: tuple[Comparison, ...]) -> bool:
    """Whether a ratio, its interval included, lies anywhere else than at 1; True without any."""
    ratios = [c.ratio for c in found if c.ratio is not None]
    return not ratios or any(max(abs(r.low - 1.0), abs(r.high - 1.0)) > _SAME for r in ratios)
