"""How much of the dense score remains at which sparsity, ours and its controls."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from cells import SCORES, Arm, Arms, Runs, of_algorithm, scores_of, short_name, whole_dense
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from panels import COLOURS, add_legend, panels
from verdicts import BAR, beside_dense

from offline_prune.evaluation.statistics import Estimate

OURS = "pruned before training, by default"
LONGER = "the same, three times the steps"
CONTROLS = {
    "small_dense": ("small dense network, as many weights", COLOURS["small"], "D"),
    "shuffled": ("the same mask, shuffled within layers", COLOURS["shuffled"], "v"),
    "random": ("random mask, ERK densities", COLOURS["random"], "s"),
    "gmp": ("gradual pruning while training", COLOURS["gradual"], "^"),
}
"""Method, alone or around the default's → label, colour and marker; drawn where there are cells."""


def kept_figure(dataset: str, arms: Arms, longer: Arms) -> Figure:
    """Ratios to dense against sparsity, a panel an algorithm.

    Args:
        dataset: Of the arms.
        arms: All that are reported of it.
        longer: Default arms that took more steps.
    """
    figure, found, empty = panels(arms)
    sparsities = sorted({arm.sparsity for arm in arms if arm.is_default})
    for algo, axes in found.items():
        ours, full = of_algorithm(arms, algo)
        whole = {arm: runs for arm, runs in ours.items() if arm.steps == full}
        axes.axhline(1.0, color=COLOURS["dense"], linewidth=0.8)
        axes.axhline(BAR, color="0.6", linewidth=0.8, linestyle=":")
        dense = whole_dense(ours, algo)
        drawn = dict(_ratios(whole, dense))
        line = [(arm, ratio) for arm, ratio in drawn.items() if arm.is_default]
        _draw(axes, sparsities, line, 0.0, (OURS, COLOURS["ours"], "o"))
        more = list(_ratios(of_algorithm(longer, algo)[0], dense))
        _draw(axes, sparsities, more, -0.1, (LONGER, COLOURS["sparser"], "P"))
        for n, (begin, style) in enumerate(CONTROLS.items()):
            methods = {begin, *(f"{begin}({arm.method})" for arm, _ in line)}
            of_it = [(arm, ratio) for arm, ratio in drawn.items() if arm.method in methods]
            _draw(axes, sparsities, of_it, 0.1 * (n + 1), style)
        axes.set_xticks(range(len(sparsities)), [f"{100 * s:g} %" for s in sparsities])
        axes.set_xlim(-0.4, len(sparsities) - 0.2)
    axes.set_ylim(0.0, max(1.1, axes.get_ylim()[1]))  # of all: they share it
    figure.supylabel("of the dense agent's score", fontsize="medium")
    figure.supxlabel("sparsity", fontsize="medium")
    seeds = sorted({len(runs) for runs in arms.values()})
    counted = "–".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1])))
    add_legend(
        empty,
        found,
        f"{short_name(dataset)}, {counted} seeds,\nequal steps where not said,\n95 % intervals;"
        f" dotted: {BAR:g}\n",
    )
    return figure


def _ratios(arms: Arms, dense: Arms) -> Iterator[tuple[Arm, Estimate]]:
    """Of the best arm of every method and sparsity, to dense; a default is its own best."""
    best: dict[tuple[str, float, bool], tuple[Arm, Runs]] = {}
    for arm, runs in sorted(arms.items(), key=lambda item: item[0]):
        key = (arm.method, arm.sparsity, arm.is_default)
        if key not in best or _mean(runs) > _mean(best[key][1]):
            best[key] = (arm, runs)
    for arm, runs in best.values():
        found = None if arm.method == "dense" else beside_dense(arm, runs, dense)
        if found is not None and found.ratio is not None:
            yield arm, found.ratio


def _mean(runs: Runs) -> float:
    return fmean(scores_of(runs, runs, SCORES["averaged"]))


def _draw(
    axes: Axes,
    sparsities: list[float],
    found: list[tuple[Arm, Estimate]],
    aside: float,
    style: tuple[str, str, str],
) -> None:
    if not found:
        return
    label, colour, marker = style
    found = sorted(found, key=lambda item: item[0].sparsity)
    places = [sparsities.index(arm.sparsity) + aside for arm, _ in found]
    ratios = [ratio for _, ratio in found]
    # What lies below 0 is cut off: a score below a random policy's.
    below = [max(ratio.value - max(ratio.low, 0.0), 0.0) for ratio in ratios]
    above = [ratio.high - ratio.value for ratio in ratios]
    axes.errorbar(
        places, [ratio.value for ratio in ratios], yerr=[below, above], label=label, color=colour,
        marker=marker, markersize=5, capsize=2, linewidth=1.4 if aside == 0.0 else 0.0,
        elinewidth=1.2,
    )  # fmt: skip
