"""The table and the figure of ``offline_choice.py``: what rollouts say of offline choices.

python benchmarks/offline_choice_report.py
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from offline_prune.base.atomic import written_aside
from offline_prune.evaluation.off_policy import FittedQ, paired_difference
from offline_prune.run.automatic import DEFAULT_RETAIN

matplotlib.use("Agg")

RESULTS = Path(__file__).parent / "results"
KEPT = 0.97
"""Part of the dense score that an agent must reach to count as right."""

Cell = dict[str, Any]


@dataclass(frozen=True)
class Judgement:
    """What held-out episodes say of a pruned agent beside the dense one of its seed.

    Attributes:
        cell: The agent.
        apart: Its disagreement with that one.
        noise: Mean disagreement of dense agents of different seeds.
        value: Difference of fitted values in ranges of the behaviour; None where they diverged.
        low: Lower end of its interval.
        high: Upper end.
        ratio: Its score over the mean score of dense agents.
    """

    cell: Cell
    apart: float
    noise: float
    value: float | None
    low: float
    high: float
    ratio: float


LEAST = DEFAULT_RETAIN - 1.0
RULES: dict[str, Callable[[Judgement], bool]] = {
    "both, lower end (`auto`)": lambda j: j.apart <= j.noise and j.low >= LEAST,
    "both, upper end": lambda j: j.apart <= j.noise and j.high >= LEAST,
    "disagreement alone": lambda j: j.apart <= j.noise,
    "fitted values alone, lower end": lambda j: j.low >= LEAST,
    "fitted values alone, their mean": lambda j: j.value is not None and j.value >= LEAST,
    "rollouts, as if they had been seen": lambda j: j.ratio >= KEPT,
    "always dense": lambda j: False,
    "always 95 %": lambda j: j.cell["sparsity"] <= 0.95,
    "always 99 %": lambda j: True,
}
"""Name → whether a candidate is accepted; the first that is not ends the search."""


def fits(cell: Cell) -> list[FittedQ]:
    """The fitted values of an agent, as they were."""
    return [
        FittedQ(
            value=fmean(values), values=tuple(values), gamma=cell["gamma"], n_steps=0, seed=seed,
            least=-np.inf, greatest=np.inf, states="", missing=0.0, seconds=0.0,
        )
        for seed, values in enumerate(cell["fits"])
    ]  # fmt: skip


def judged(cells: Sequence[Cell]) -> list[Judgement]:
    """Judge every pruned agent of one task."""
    dense = {cell["seed"]: cell for cell in cells if cell["method"] == "dense"}
    noise = fmean(d for cell in dense.values() for d in cell["apart"].values())
    score = fmean(cell["score"] for cell in dense.values())
    found = []
    for cell in cells:
        if cell["method"] == "dense":
            continue
        own = dense[cell["seed"]]
        value, low, high = None, -np.inf, -np.inf
        if cell["is_possible"] and own["is_possible"]:
            difference = paired_difference(fits(cell), fits(own), scale=own["range"])
            value, low, high = difference.value, difference.low, difference.high
        apart = cell["apart"][str(cell["seed"])]
        found.append(Judgement(cell, apart, noise, value, low, high, cell["score"] / score))
    return found


def chosen(ladder: Sequence[Judgement], accepts: Callable[[Judgement], bool]) -> Judgement | None:
    """The last of ever sparser candidates that is accepted; None where the first is not."""
    accepted = list(itertools.takewhile(accepts, ladder))
    return accepted[-1] if accepted else None


def ladders(found: Sequence[Judgement]) -> dict[tuple[str, int], list[Judgement]]:
    """(Method, seed) → its candidates, ever sparser."""
    sorted_by: dict[tuple[str, int], list[Judgement]] = {}
    for judgement in sorted(found, key=lambda j: j.cell["sparsity"]):
        own = (judgement.cell["method"], judgement.cell["seed"])
        sorted_by.setdefault(own, []).append(judgement)
    return sorted_by


def rule_row(
    searches: Sequence[Sequence[Judgement]], accepts: Callable[[Judgement], bool]
) -> tuple[float, int, float, float]:
    """What a rule comes to over searches.

    Returns:
        Mean sparsity chosen; how many of the chosen agents keep the dense score (the dense one
        does); mean regret, the best score on the ladder or the dense one minus the chosen
        one's, in dense scores; the least ratio of a chosen agent.
    """
    picks = [chosen(ladder, accepts) for ladder in searches]
    sparsity = fmean(0.0 if pick is None else pick.cell["sparsity"] for pick in picks)
    ratios = [1.0 if pick is None else pick.ratio for pick in picks]
    best = [max(1.0, *(j.ratio for j in ladder)) for ladder in searches]
    regret = fmean(b - r for b, r in zip(best, ratios, strict=True))
    return sparsity, sum(r >= KEPT for r in ratios), regret, min(ratios)


def correlations(cells: Sequence[Cell], found: Sequence[Judgement]) -> list[str]:
    """Spearman's ρ of what the data say with the score, over pruned agents."""
    scores = [j.cell["score"] for j in found]
    columns: list[list[float | None]] = [
        [fmean(map(fmean, j.cell["fits"])) for j in found],
        [-j.apart for j in found],
        [None if j.cell["td_error"] is None else -j.cell["td_error"] for j in found],
    ]
    return [_spearman(column, scores) for column in columns]


def _spearman(column: Sequence[float | None], scores: Sequence[float]) -> str:
    if any(value is None for value in column) or len(set(scores)) < 3:
        return "–"
    rho = stats.spearmanr(column, scores).statistic
    # Fisher's transformation, its variance for ranks by Bonett and Wright 2000.
    half = 1.96 * np.sqrt((1 + rho**2 / 2) / (len(scores) - 3))
    centre = np.arctanh(np.clip(rho, -0.999, 0.999))
    low, high = np.tanh([centre - half, centre + half])
    return f"{rho:+.2f} [{low:+.2f}, {high:+.2f}]"


def page(cells: Sequence[Cell]) -> str:
    """The result as Markdown."""
    tasks = list(dict.fromkeys(cell["task"] for cell in cells))
    all_found = {t: judged([c for c in cells if c["task"] == t]) for t in tasks}
    lines = [
        "## Of what the data say, what goes with the score?",
        "",
        "Spearman's rank correlation over pruned agents, with 95 % intervals; −1 is as telling",
        "as 1 is, 0 says nothing.",
        "",
        "| task | agents | dense score | sparser agents that keep 97 % | fitted value"
        " | agreement with dense | −TD error | diverged fits |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task in tasks:
        own = [cell for cell in cells if cell["task"] == task]
        dense = [cell["score"] for cell in own if cell["method"] == "dense"]
        found = all_found[task]
        kept = sum(j.ratio >= KEPT for j in found)
        wrong = sum(not cell["is_possible"] for cell in own)
        said = " | ".join(correlations(own, found))
        lines.append(
            f"| {task} | {len(own)} | {fmean(dense):.2f} ({min(dense):.2f} to {max(dense):.2f}) |"
            f" {kept} of {len(found)} | {said} | {wrong} of {len(own)} |"
        )
    for task in [*tasks, "all"]:
        parts = tasks if task == "all" else [task]
        searches = [ladder for t in parts for ladder in ladders(all_found[t]).values()]
        lines += [
            "",
            f"## {'All tasks' if task == 'all' else task}: what rules choose",
            "",
            "| rule | mean sparsity | keeps 97 % of dense | mean regret | worst ratio to dense |",
            "|---|---|---|---|---|",
        ]
        for name, accepts in RULES.items():
            sparsity, right, regret, worst = rule_row(searches, accepts)
            lines.append(
                f"| {name} | {sparsity:.1%} | {right} of {len(searches)} | {regret:.3f} |"
                f" {worst:.2f} |"
            )
    return "\n".join(lines) + "\n"


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Score against what the data say, a column a task."""
    tasks = list(dict.fromkeys(cell["task"] for cell in cells))
    figure, axes = plt.subplots(
        2, len(tasks), figsize=(3 * len(tasks), 5.4), squeeze=False, layout="constrained",
        sharey="col",
    )  # fmt: skip
    for column, task in enumerate(tasks):
        found = judged([cell for cell in cells if cell["task"] == task])
        methods = dict.fromkeys(j.cell["method"] for j in found)
        for method, colour in zip(methods, ("C0", "C3"), strict=False):
            own = [j for j in found if j.cell["method"] == method]
            ratios = [j.ratio for j in own]
            values = [np.nan if j.value is None else j.value for j in own]
            lows = [0.0 if j.value is None else j.value - j.low for j in own]
            highs = [0.0 if j.value is None else j.high - j.value for j in own]
            top, bottom = axes[0, column], axes[1, column]
            top.errorbar(
                values, ratios, xerr=[lows, highs], fmt="o", color=colour, alpha=0.5,
                markersize=4, linewidth=0.6, label=method,
            )  # fmt: skip
            bottom.plot(
                [j.apart / j.noise for j in own], ratios, "o", color=colour, alpha=0.6,
                markersize=4, label=method,
            )  # fmt: skip
        axes[0, column].set(
            title=task,
            xlim=(-1, 1),
            xlabel="fitted value − dense,\nin ranges of the data's returns",
        )
        unseen = sum(j.value is None or abs(j.value) > 1 for j in found)
        if unseen:
            axes[0, column].text(
                -0.95, 0.25, f"{unseen} of {len(found)}: diverged,\nor beyond the axis",
                fontsize="x-small", va="center",
            )  # fmt: skip
        axes[0, column].axvline(LEAST, color="black", linewidth=0.8)
        axes[1, column].set(xlabel="disagreement / that of dense seeds", xscale="log")
        axes[1, column].axvline(1.0, color="black", linewidth=0.8)
        for one in axes[:, column]:
            one.axhline(KEPT, color="grey", linewidth=0.8, linestyle="--")
        axes[0, 0].set_ylabel("score / dense score")
        axes[1, 0].set_ylabel("score / dense score")
    axes[0, 0].legend()
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=110, format="png")


def main() -> None:
    """Write the table below the words of ``offline_choice.md``, and the figure."""
    cells = json.loads((RESULTS / "offline_choice.json").read_text())
    target = RESULTS / "offline_choice.md"
    mark = "<!-- made by benchmarks/offline_choice_report.py -->\n"
    words = target.read_text().split(mark)[0] if target.exists() else "# Offline choices\n\n"
    with written_aside(target) as aside:
        aside.write_text(words + mark + "\n" + page(cells))
    draw(cells, RESULTS / "offline_choice.png")


if __name__ == "__main__":
    main()
