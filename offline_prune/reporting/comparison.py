"""What several seeds of a method say beside those of the dense agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median

from offline_prune.errors import InputError
from offline_prune.evaluation.statistics import (
    Estimate,
    Verdict,
    hedges_g,
    interquartile_mean,
    iqm,
    probability_of_improvement,
    ratio_to_dense,
)
from offline_prune.reporting.kinds import shuffled
from offline_prune.reporting.tasks import Group, Task

__all__ = ["BesideDense", "Comparison", "compare", "ratio_over_pairs"]


@dataclass(frozen=True, kw_only=True)
class BesideDense:
    """Runs of a method beside those of the dense agent.

    Attributes:
        interval: Interquartile mean of the final-window means with its 95 % interval; None
            with fewer than two seeds.
        ratio: Of the interquartile means, ours to dense, over the seeds of both; None of
            dense, or where dense scores too little.
        over_dense: Probability that a run of ours beats a dense one.
        failed: Runs that failed. They count against it: what is left would be the lucky
            seeds.
    """

    interval: Estimate | None
    ratio: Estimate | None
    over_dense: Estimate | None
    failed: int

    @property
    def verdict(self) -> Verdict | None:
        """What the ratio's interval says; None without a ratio. A failed run: not retained."""
        if self.ratio is None:
            return None
        return "not retained" if self.failed else self.ratio.verdict

    @property
    def retained(self) -> bool | None:
        """Whether the ratio's lower bound is at least .97; None without a ratio."""
        return None if self.verdict is None else self.verdict == "retained"


@dataclass(frozen=True, kw_only=True)
class Comparison(BesideDense):
    """One row of a task's table.

    Attributes:
        group: The runs.
        values: Final-window means, by seed.
        iqm: Their interquartile mean; None without any.
        no_ratio: Why there is no ratio.
        effect: Hedges' g, ours minus dense; None of dense, or with fewer than two runs.
        over_shuffled: Probability that a run beats one of the method's own mask, shuffled
            within layers.
        effective_sparsity: Mean fraction of the dense agent's weights that are gone or
            lead nowhere.
        kept: Mean number of weights kept.
        kept_fraction: The same over the dense agent's; None without a dense run.
        time_ratio: Median over seeds of training seconds over the dense run's.
    """

    group: Group
    values: dict[int, float]
    iqm: float | None
    no_ratio: str
    effect: float | None
    over_shuffled: Estimate | None
    effective_sparsity: float | None
    kept: float | None
    kept_fraction: float | None
    time_ratio: float | None


def ratio_over_pairs(
    ours: Mapping[str, Mapping[int, float]], dense: Mapping[str, Mapping[int, float]]
) -> Estimate | None:
    """Ratio to dense over the seeds of both.

    Args:
        ours: Task → seed → normalised score.
        dense: The same of the dense agent.

    Returns:
        The ratio; None where a task has fewer than two pairs, or dense scores too little.
    """
    seeds = {task: sorted(own.keys() & dense.get(task, {}).keys()) for task, own in ours.items()}
    x, y = (
        {task: [side[task][seed] for seed in found] for task, found in seeds.items()}
        for side in (ours, dense)
    )
    try:
        return ratio_to_dense(x, y)
    except InputError:
        return None


def compare(task: Task) -> tuple[Comparison, ...]:
    """Compare all groups of a task.

    Args:
        task: The task.

    Returns:
        One comparison a group, in their order.
    """
    return tuple(_compare(task, group) for group in task.groups)


def _compare(task: Task, group: Group) -> Comparison:
    values = task.values(group)
    runs = list(values.values())
    ratio, no_ratio = _ratio(task, group)
    dense = task.dense
    control = next(
        (
            g
            for g in task.groups
            if g.method in shuffled(group.method)
            and (g.options, g.sparsity, g.by_role) == (group.options, group.sparsity, group.by_role)
        ),
        None,
    )
    kept = _mean([run.kept for run in group.runs])
    connected = _mean([run.connected for run in group.runs])
    whole = None if dense is None else _mean([run.weights for run in dense.runs])
    # Of an agent that is small itself nothing is removed; what counts is the dense agent's size.
    size = whole or _mean([run.weights for run in group.runs])
    return Comparison(
        group=group,
        values=values,
        iqm=float(iqm(runs)) if runs else None,
        interval=interquartile_mean({task.name: runs}) if len(runs) > 1 else None,
        ratio=ratio,
        no_ratio=no_ratio,
        effect=None if group is dense else _effect(task, group, dense),
        over_dense=None if group is dense else _better(task, group, dense),
        failed=len(group.failed),
        over_shuffled=_better(task, group, control),
        effective_sparsity=None if connected is None or not size else 1 - connected / size,
        kept=kept,
        kept_fraction=None if kept is None or not whole else kept / whole,
        time_ratio=_time_ratio(group, dense),
    )


def _ratio(task: Task, group: Group) -> tuple[Estimate | None, str]:
    dense = task.dense
    if group is dense:
        return None, ""
    if dense is None:
        return None, "no dense run"
    if not task.scored:
        return None, "no references"
    ours, theirs = task.values(group), task.values(dense)
    seeds = ours.keys() & theirs.keys()
    if len(seeds) < 2:
        return None, "no pair of seeds" if not seeds else "one pair of seeds"
    ratio = ratio_over_pairs({task.name: ours}, {task.name: theirs})
    return ratio, "" if ratio else "dense scores too little"


def _better(task: Task, group: Group, other: Group | None) -> Estimate | None:
    if other is None:
        return None
    ours, theirs = (list(task.values(g).values()) for g in (group, other))
    if len(ours) < 2 or len(theirs) < 2:
        return None
    return probability_of_improvement({task.name: ours}, {task.name: theirs})


def _effect(task: Task, group: Group, other: Group | None) -> float | None:
    ours, theirs = (list(task.values(g).values()) if g else [] for g in (group, other))
    return None if min(len(ours), len(theirs)) < 2 else hedges_g(ours, theirs)


def _time_ratio(group: Group, dense: Group | None) -> float | None:
    if dense is None:
        return None
    seconds = {run.seed: run.training_seconds for run in dense.runs}
    ratios = [
        run.training_seconds / base
        for run in group.runs
        if run.training_seconds is not None and (base := seconds.get(run.seed))
    ]
    return median(ratios) if ratios else None


def _mean(values: list[int | None]) -> float | None:
    found = [value for value in values if value is not None]
    return fmean(found) if found else None
