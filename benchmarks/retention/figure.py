"""How much of its dense return each algorithm keeps, as the one figure of the README.

    python benchmarks/retention/figure.py

writes ``benchmarks/retention/kept.png`` of the cells in ``results.tar.xz``: HalfCheetah medium,
five seeds, averaged weights beside the better of a dense agent's, last or averaged; ratios of
interquartile means over pairs of seeds with 95 % intervals. It prints the numbers that it draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure
from table import ALGOS, RECIPE, SCORES, Runs, recorded, scores_of

from offline_prune.base.atomic import written_aside
from offline_prune.evaluation.statistics import Estimate, ratio_to_dense

FILE = Path(__file__).parent / "kept.png"
DATASET = "prune/halfcheetah/medium-v0"
NAMES = {"bc": "BC", "bcq": "BCQ", "iql": "IQL", "td3_plus_bc": "TD3+BC", "cql": "CQL"}
SHOWN = (("95 % pruned", "C0", "o"), ("98 % pruned", "C1", "s"), ("small dense", "0.45", "D"))


def main() -> None:
    """Draw, print, write."""
    found = {(algo, label): ratio for algo, label, ratio in ratios()}
    figure = Figure(figsize=(7.0, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.axvline(1.0, color="black", linewidth=0.8)
    for row, (label, colour, marker) in enumerate(SHOWN):
        for place, algo in enumerate(NAMES):
            ratio = found.get((algo, label))
            if ratio is None:
                continue
            print(f"{NAMES[algo]:7} {label:12} {ratio}")
            spread = [[ratio.value - ratio.low], [ratio.high - ratio.value]]
            axes.errorbar(
                [ratio.value], [place + 0.24 * (row - 1)], xerr=spread, color=colour, fmt=marker,
                markersize=4, capsize=2, label=label if place == 0 else None,
            )  # fmt: skip
    axes.set_yticks(range(len(NAMES)), list(NAMES.values()))
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.1)
    axes.set_xlabel(
        "part of the dense agent's score that is kept (HalfCheetah, five seeds, 95 % intervals)"
    )
    axes.legend(loc="upper left", frameon=False, fontsize="small")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with written_aside(FILE) as aside:
        figure.savefig(aside, dpi=130, format="png")


def ratios() -> Iterator[tuple[str, str, Estimate]]:
    """Algorithm, label and ratio of every arm that is shown."""
    arms = {arm: runs for arm, runs in recorded("results").items() if arm.dataset == DATASET}
    for algo in ALGOS:
        full = max(arm.steps for arm in arms if arm.algo == algo)
        ours = {arm: runs for arm, runs in arms.items() if (arm.algo, arm.steps) == (algo, full)}
        (dense,) = (r for arm, r in ours.items() if (arm.method, arm.said) == ("dense", RECIPE))
        for arm, runs in ours.items():
            if arm.method != "dense":
                pruned = f"{100 * arm.sparsity:g} % pruned"
                label = "small dense" if arm.method == "small_dense" else pruned
                yield algo, label, _ratio(runs, dense)


def _ratio(runs: Runs, dense: Runs) -> Estimate:
    seeds = sorted(runs.keys() & dense.keys())
    ours = scores_of(runs, seeds, SCORES["averaged"])
    theirs = max((scores_of(dense, seeds, name) for name in SCORES.values()), key=fmean)
    return ratio_to_dense({DATASET: ours}, {DATASET: theirs})


if __name__ == "__main__":
    main()
