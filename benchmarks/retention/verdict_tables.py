"""The verdicts of the study as part of its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cells import Arms, Costs, of_algorithm, of_dataset
from layout import interval, table
from verdicts import (
    BAR,
    SAME,
    Beside,
    after_more_steps,
    at_equal_steps,
    at_equal_time,
    before_and_later,
    beside_controls,
    decides,
    verdict,
)

from offline_prune.evaluation.statistics import Verdict, holm, verdicts_together

WORDS: Mapping[Verdict, str] = {
    "retained": "better",
    "not retained": "worse",
    "undecided": "undecided",
}
"""What a verdict against a bar of 1 says of two arms."""


def verdict_section(arms: Arms, longer: Arms, cost: Callable[[str], Costs]) -> str:
    """Both questions, their tables and how many verdicts hold.

    Args:
        arms: All that are reported.
        longer: Default arms that took more steps.
        cost: Milliseconds a step, by the dataset.
    """
    parts = ["## Verdicts", _how_to_read(), _undeciding(arms)]
    for dataset in sorted({arm.dataset for arm in arms}):
        ours, own = of_dataset(arms, dataset), cost(dataset)
        parts += [f"### {dataset}"]
        for yardstick, found in (
            ("Retained at equal gradient steps?", list(at_equal_steps(ours))),
            ("Retained at equal time?", list(at_equal_time(ours, own))),
            (
                "Retained after more steps, and sooner than stock d3rlpy has its dense agent?",
                list(after_more_steps(of_dataset(longer, dataset), ours, own)),
            ),
        ):
            parts += [f"**{yardstick}** {_count(found, {})}", _retained(found)] if found else []
        if pairs := list(before_and_later(ours)):
            parts += ["**Do the seeds that were run later say the same?**", _halves(pairs)]
        if controls := list(beside_controls(ours)):
            parts += [f"**Better than its controls?** {_count(controls, WORDS)}"]
            parts += [_controls(controls)]
    return "\n\n".join(part for part in parts if part)


def _how_to_read() -> str:
    return (
        f"The bar: an arm is *retained* where the lower end of the 95 % interval of its ratio to"
        f" dense is {BAR:g} or more, *not retained* where the upper end is below, else *undecided*."
        " Ratios are of interquartile means of normalised scores over pairs of seeds, averaged"
        " weights. At equal steps the dense side is whichever of its arms, last or averaged"
        " weights, is worth more. At equal time it is stock d3rlpy's agent after the seconds that"
        " the pruned run takes (`seconds.json`), interpolated between"
        " its evaluations; before the first of them that one stands, which favours dense. Beside"
        " its controls the default arm is *better* or *worse* where the interval excludes 1.\n\n"
        "*Together* are the verdicts of a table when all of them shall hold at once with 95 %"
        " (Holm 1979); p is two-sided, that the ratio is the bar, and corrected likewise. *Power*"
        " is how often an agent that equals dense would be called retained, with the spread and"
        " the seeds there are: where it is low, *undecided* says little. *Recognises*: the true"
        " ratio that would be called retained in 80 %. g is Hedges' g, ours minus the other, in"
        " pooled standard deviations of a run; P that a run of ours beats one of the other."
        " Formulas: [`offline_prune.evaluation.statistics`]"
        "(../../offline_prune/evaluation/statistics/); that the intervals cover what they say"
        " with five and ten seeds is [simulated](../../tests/evaluation/test_coverage.py)."
    )


def _undeciding(arms: Arms) -> str:
    """Tasks that tell nothing apart, which are left out."""
    found = []
    for dataset, algo in sorted({(arm.dataset, arm.algo) for arm in arms}):
        ours, full = of_algorithm(of_dataset(arms, dataset), algo)
        if not decides({arm: runs for arm, runs in ours.items() if arm.steps == full}):
            found.append(f"{dataset} · {algo}")
    if not found:
        return ""
    return f"All arms lie within {SAME:.0%} of dense, and are not counted: " + ", ".join(found)


def _count(family: Sequence[Beside], words: Mapping[Verdict, str]) -> str:
    """How many verdicts there are of each kind, alone and together."""
    ratios = {n: entry.ratio for n, entry in enumerate(family) if entry.ratio is not None}
    texts = []
    for title, found in (
        ("alone", [verdict(ratio) for ratio in ratios.values()]),
        ("together", list(verdicts_together(ratios).values())),
    ):
        counted = (f"{found.count(v)} {words.get(v, v)}" for v in WORDS if v in found)
        texts.append(f"{title} {', '.join(counted)}")
    return f"{len(ratios)} comparisons: {'; '.join(texts)}."


def _judged(family: Sequence[Beside], words: Mapping[Verdict, str]) -> list[tuple[str, str, str]]:
    """Verdict, verdict together, and corrected p-value of each comparison of a family."""
    ratios = {n: entry.ratio for n, entry in enumerate(family) if entry.ratio is not None}
    together = verdicts_together(ratios)
    corrected = holm({n: ratio.p_value for n, ratio in ratios.items()})
    return [
        ("–", "–", "–")
        if entry.ratio is None
        else (
            words.get(alone := verdict(entry.ratio), alone),
            words.get(together[n], together[n]),
            "<.001" if corrected[n] < 0.001 else f"{corrected[n]:.3f}",
        )
        for n, entry in enumerate(family)
    ]


def _retained(family: Sequence[Beside]) -> str:
    rows = []
    for entry, judged in zip(family, _judged(family, {}), strict=True):
        arm, ratio = entry.arm, entry.ratio
        power = ("–", "–") if ratio is None else (f"{ratio.power:.2f}", f"{ratio.recognised():.2f}")
        rows.append((arm.algo, arm.name, arm.asked, f"{arm.steps:,}", entry.seeds, entry.other,
                     interval(ratio), *judged, *power, f"{entry.effect:+.1f}",
                     interval(entry.better)))  # fmt: skip
    return table(
        "| algorithm | agent | asked for | steps | seeds | dense: | of dense | alone | together | p"
        " | power | recognises | g | P(better than dense) |",
        rows,
    )


def _halves(pairs: Sequence[tuple[Beside, Beside]]) -> str:
    rows = [
        (first.arm.algo, first.arm.name, first.seeds, interval(first.ratio), later.seeds,
         interval(later.ratio))
        for first, later in pairs
    ]  # fmt: skip
    return table("| algorithm | agent | seeds, first | of dense | seeds, later | of dense |", rows)


def _controls(family: Sequence[Beside]) -> str:
    rows = [
        (entry.arm.algo, entry.arm.name, entry.other, entry.seeds,
         interval(entry.ratio, "the other fails"), *judged, f"{entry.effect:+.1f}",
         interval(entry.better))
        for entry, judged in zip(family, _judged(family, WORDS), strict=True)
    ]  # fmt: skip
    return table(
        "| algorithm | agent | beside | seeds | of the other | alone | together | p | g"
        " | P(better) |",
        rows,
    )
