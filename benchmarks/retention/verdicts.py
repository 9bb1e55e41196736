"""Is the dense return retained, and is the mask worth more than its controls?

Both questions are asked of every algorithm, dataset and sparsity, with the same seeds on both
sides. A verdict has its interval, its power and the size of the effect beside it; how many there
are is counted, and which of them hold together is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from cells import (
    ALGOS,
    SCORES,
    Arm,
    Arms,
    Costs,
    Runs,
    curve_of,
    of_algorithm,
    of_dataset,
    scores_of,
    whole_dense,
)

from offline_prune.errors import InputError
from offline_prune.evaluation.statistics import (
    Estimate,
    Verdict,
    hedges_g,
    probability_of_improvement,
    ratio_to_dense,
)

BAR = 0.95
"""Least lower end of the ratio's interval that counts as retained; declared before the runs."""
SAME = 0.01
"""Where all arms of a task lie as close as that to the dense score it decides nothing."""
LATER: Mapping[str, Sequence[int]] = {"prune/halfcheetah/medium-v0": range(5, 10)}
"""Dataset → seeds that were run when the verdicts on the others were known."""


@dataclass(frozen=True)
class Beside:
    """An arm beside another one.

    Attributes:
        arm: Ours.
        other: What it is beside, in words.
        ratio: Of the interquartile means, over pairs of seeds; None where the other one
            scores too little to be divided by.
        effect: Hedges' g of ours minus theirs.
        better: Probability that a run of ours beats one of theirs.
        seeds: Pairs.
    """

    arm: Arm
    other: str
    ratio: Estimate | None
    effect: float
    better: Estimate
    seeds: int


def at_equal_steps(arms: Arms) -> Iterator[Beside]:
    """Default arms beside the dense arm, and those of its weights, that are worth most."""
    for arm, runs, dense in _defaults(arms):
        found = beside_dense(arm, runs, dense)
        if found is not None:
            yield found


def before_and_later(arms: Arms) -> Iterator[tuple[Beside, Beside]]:
    """Default arms beside dense ones, on the seeds that were run first and on the later ones."""
    for arm, runs, dense in _defaults(arms):
        later = {seed: run for seed, run in runs.items() if seed in LATER.get(arm.dataset, ())}
        first = {seed: run for seed, run in runs.items() if seed not in later}
        found = beside_dense(arm, first, dense), beside_dense(arm, later, dense)
        if found[0] is not None and found[1] is not None:
            yield found[0], found[1]


def beside_dense(arm: Arm, runs: Runs, dense: Arms) -> Beside | None:
    """An arm beside whichever of these, last or averaged weights, is worth most.

    Args:
        arm: Any.
        runs: Its runs.
        dense: Dense arms of as many steps.

    Returns:
        Both; None without two pairs of seeds.
    """
    found = []
    for theirs in dense.values():
        seeds = sorted(runs.keys() & theirs.keys())
        found += [
            (scores_of(theirs, seeds, score), seeds, name)
            for name, score in SCORES.items()
            if len(seeds) > 1
        ]
    if not found:
        return None
    scores, seeds, name = max(found, key=lambda f: fmean(f[0]))
    return _beside(arm, runs, scores, seeds, f"{name} weights", BAR)


def at_equal_time(arms: Arms, cost: Costs) -> Iterator[Beside]:
    """Default arms beside stock d3rlpy's dense agent after as many seconds.

    Its return there is interpolated between its evaluations; before the first one it is that
    of the first, which is more time than it would have had.

    Args:
        arms: All that are reported.
        cost: By :func:`cells.milliseconds`.
    """
    for arm, runs, dense in _defaults(arms):
        own = cost.get(arm.algo, {})
        if f"{arm.sparsity:g}" not in own:
            continue
        step = arm.steps * own[f"{arm.sparsity:g}"] / own["stock"]
        found = []
        for theirs in dense.values():
            seeds = sorted(runs.keys() & theirs.keys())
            if len(seeds) > 1:
                first = min(curve_of(theirs[seeds[0]]))
                found.append(([_score_at(theirs[seed], step) for seed in seeds], seeds, first))
        if found:
            scores, seeds, first = max(found, key=lambda f: fmean(f[0]))
            said = f"{max(step, first):,.0f} steps"
            said += f" ({step:,.0f} are equal)" if step < first else ""
            yield _beside(arm, runs, scores, seeds, said, BAR)


def after_more_steps(longer: Arms, arms: Arms, cost: Costs) -> Iterator[Beside]:
    """Default arms that took more steps, beside the dense arm that is worth most of the reported.

    Args:
        longer: Arms of ``longer.toml``.
        arms: All that are reported, of the same dataset.
        cost: As in :func:`at_equal_time`.
    """
    for arm, runs in sorted(longer.items()):
        dense = whole_dense(of_dataset(arms, arm.dataset), arm.algo)
        found = beside_dense(arm, runs, dense)
        if found is not None:
            own, full = cost[arm.algo], next(iter(dense)).steps
            share = arm.steps * own[f"{arm.sparsity:g}"] / (full * own["stock"])
            said = f"{found.other}, {full:,} steps; in {share:.0%} of their time"
            yield replace(found, other=said)


def beside_controls(arms: Arms) -> Iterator[Beside]:
    """Default arms beside whatever else was run at their sparsity: ratios to it, bar 1."""
    for arm, runs, _ in _defaults(arms):
        for other, theirs in arms.items():
            same = (arm.dataset, arm.algo, arm.sparsity, arm.steps)
            if other.is_default or same != (other[0], other[1], other[3], other[5]):
                continue
            seeds = sorted(runs.keys() & theirs.keys())
            if len(seeds) > 1:
                scores = scores_of(theirs, seeds, SCORES["averaged"])
                said = f"{other.method}, {other.asked}"
                yield _beside(arm, runs, scores, seeds, said, 1.0)


def decides(arms: Arms) -> bool:
    """Whether a task tells anything apart: not where every arm scores as the dense one does.

    Args:
        arms: Those of one dataset and algorithm with the full number of steps.
    """
    means = {arm: fmean(scores_of(runs, runs, SCORES["averaged"])) for arm, runs in arms.items()}
    dense = max((mean for arm, mean in means.items() if arm.method == "dense"), default=None)
    return dense is None or any(abs(mean - dense) > SAME * dense for mean in means.values())


def verdict(ratio: Estimate) -> Verdict:
    """What a ratio says of its bar: of a bar of 1 nothing where the interval holds it.

    So of two arms that always score the same neither is better.
    """
    holds = ratio.low <= ratio.bar <= ratio.high
    return "undecided" if ratio.bar == 1.0 and holds else ratio.verdict


def last_quarter(runs: Runs) -> tuple[Estimate | None, str]:
    """What the last quarter of training changed, as a ratio of scores, and in a word.

    Returns:
        Score at the end over that at the evaluation before, last weights both; ``rises`` or
        ``falls`` where the interval excludes 1, ``flat`` where it lies within 1 ± .05,
        else ``unclear``.
    """
    curves = [list(curve_of(record).values()) for record in runs.values()]
    if len(curves) < 2 or min(map(len, curves)) < 2:
        return None, ""
    try:
        ratio = ratio_to_dense(
            {"": [c[-1] for c in curves]}, {"": [c[-2] for c in curves]}, bar=1.0
        )
    except InputError:
        return None, ""
    if verdict(ratio) != "undecided":
        return ratio, "rises" if ratio.value > 1.0 else "falls"
    flat = ratio.low > 0.95 and ratio.high < 1.05
    return ratio, "flat" if flat else "unclear"


def _defaults(arms: Arms) -> Iterator[tuple[Arm, Runs, dict[Arm, Runs]]]:
    """Default arms that took all steps, beside the dense arms that did, of tasks that decide."""
    for dataset in sorted({arm.dataset for arm in arms}):
        for algo in ALGOS:
            ours, full = of_algorithm(of_dataset(arms, dataset), algo)
            whole = {arm: runs for arm, runs in ours.items() if arm.steps == full}
            dense = whole_dense(ours, algo)
            if decides(whole):
                for arm in sorted(whole):
                    if arm.is_default:
                        yield arm, whole[arm], dense


def _beside(
    arm: Arm, runs: Runs, theirs: list[float], seeds: list[int], other: str, bar: float
) -> Beside:
    ours = scores_of(runs, seeds, SCORES["averaged"])
    try:
        ratio = ratio_to_dense({"": ours}, {"": theirs}, bar=bar)
    except InputError:
        ratio = None
    better = probability_of_improvement({"": ours}, {"": theirs})
    return Beside(arm, other, ratio, hedges_g(ours, theirs), better, len(seeds))


def _score_at(record: Mapping[str, Any], step: float) -> float:
    curve = curve_of(record)
    return float(np.interp(step, list(curve), list(curve.values())))
