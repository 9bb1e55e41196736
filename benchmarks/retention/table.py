"""How much of its dense return does a pruned agent keep?

    python benchmarks/retention/table.py

writes ``benchmarks/retention/README.md`` and ``cells.csv`` (a line a cell) of whatever cells the
archives hold, a sweep each: of ``grid.toml`` (``results``) and of the other grids
beside it. To go on with one that is not done:

    tar -C benchmarks/retention -xf benchmarks/retention/choice.tar.xz
    offline-prune sweep benchmarks/retention/choice.toml --out benchmarks/retention/choice
    make cells STUDY=benchmarks/retention/choice
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from cells import (
    ALGOS,
    FOLDER,
    RECIPE,
    REPORTED,
    SCORES,
    Arm,
    Arms,
    Runs,
    arm_of,
    file_name,
    milliseconds,
    of_algorithm,
    of_dataset,
    recorded,
    records_of,
    scores_of,
    short_name,
    step_costs,
    whole_dense,
)
from csv_file import csv_text
from layout import interval, table
from verdict_tables import verdict_section
from verdicts import beside_dense, last_quarter

from offline_prune.base.atomic import written_aside
from offline_prune.errors import InputError
from offline_prune.evaluation.statistics import ratio_to_dense


def main() -> None:
    """Write the page, and the table of all cells."""
    for path, text in ((FOLDER / "README.md", page()), (FOLDER / "cells.csv", csv_text())):
        with written_aside(path) as aside:
            aside.write_text(text, encoding="utf-8", newline="")


def page() -> str:
    """The page, of whatever cells the archives hold."""
    arms = recorded(*REPORTED)
    parts = [(FOLDER / "preface.md").read_text(encoding="utf-8").strip()]
    failed = [r for name in REPORTED for r in records_of(name) if r["status"] != "ok"]
    if failed:
        said = ", ".join(f"{arm_of(r).name} of {r['cell']['algo']} on {r['cell']['dataset']}, seed"
                         f" {r['cell']['seed']}" for r in failed)  # fmt: skip
        parts += [f"**Failed, and in no number below: {said}.**"]
    parts += [verdict_section(arms, recorded("longer"), milliseconds)]
    for dataset in sorted({arm.dataset for arm in arms}):
        ours = of_dataset(arms, dataset)
        parts += [f"## {dataset}", *_figures(dataset), _returns(ours), _kept(ours)]
        parts += ["### Curves: last weights, at the end averaged", _curves(ours)]
    for question, folder in (
        ("Which networks limit?", "networks"),
        ("Does width lift the limit?", "widths"),
    ):
        if some := recorded(folder):
            parts += [f"## {question}", _limits(some, arms)]
    parts += ["## What a step costs", _costs(step_costs())]
    sections: tuple[tuple[str, str, tuple[Callable[[Arms], str], ...]], ...] = (
        ("Which rates?", "rates", (_rates,)),
        ("Which rates on the pendulum and CartPole?", "cheap_rates", (_rates,)),
        ("Which temperature, for IQL?", "temperatures", (_rates, _beside_dense_alike)),
        ("Is the dense agent at its best?", "dense_agents", (_rates, _beside_dense_alike)),
        ("Which mask, and which steps?", "choice", (_rates,)),
        ("Three times the steps", "longer", (_rates, _points)),
    )
    for heading, folder, tables in sections:
        if found := recorded(folder):
            parts += [f"## {heading}", *(made(found) for made in tables)]
    return "\n\n".join(parts) + "\n"


def _figures(dataset: str) -> list[str]:
    """The figures that ``figure.py`` made."""
    said = {"kept": "share of the dense score against sparsity", "time": "return against seconds"}
    return [
        f"![{short_name(dataset)}: {text}]({file_name(kind, dataset)})"
        for kind, text in said.items()
        if (FOLDER / file_name(kind, dataset)).exists()
    ]


def _returns(arms: Arms) -> str:
    rows = []
    for arm in sorted(arms, key=lambda a: (ALGOS.index(a.algo), a.method != "dense", a[2:])):
        runs = list(arms[arm].values())
        last, averaged = _spreads(runs)
        seconds = np.median([run["timing"]["training_seconds"] for run in runs])
        weights = np.mean(scores_of(arms[arm], arms[arm], "weights_connected"))
        name = arm.method if arm.method == "small_dense" else arm.name
        rows.append((arm.algo, name, arm.asked, f"{arm.steps:,}", len(runs), last, averaged,
                     f"{seconds:.0f}", f"{weights:,.0f}"))  # fmt: skip
    return table(
        "| algorithm | agent | asked for | steps | seeds | last weights | averaged weights"
        " | seconds | weights |",
        rows,
    )


def _kept(arms: Arms) -> str:
    """Ratios to dense agents: the recipe's, and the best of all dense arms."""
    rows = []
    for algo in ALGOS:
        ours, full = of_algorithm(arms, algo)
        dense = whole_dense(arms, algo)
        short = {a: r for a, r in ours.items() if a.method == "dense" and a.steps < full}
        recipe = {a: r for a, r in dense.items() if a.said == RECIPE}
        for arm, runs in ours.items():
            if arm.method == "dense" or arm.steps != full:
                continue
            against = (
                _best_ratio(runs, recipe, ("last",)),
                _best_ratio(runs, dense, SCORES),
                _best_ratio(runs, short, SCORES),
                *(_quarter(runs, theirs) for theirs in recipe.values()),
            )
            rows.append((algo, arm.name, arm.asked, *against))
    return table(
        "| algorithm | agent | asked for | of dense, recipe's rates, last weights"
        " | of the best dense arm | of the best dense arm at an eighth of the steps"
        " | of dense, recipe's rates, last weights, at a quarter of the steps |",
        rows,
    )


def _quarter(runs: Runs, dense: Runs) -> str:
    """The ratio to what dense agents return on the way, at the first of four evaluations."""
    seeds = sorted(runs.keys() & dense.keys())
    theirs = [float(dense[seed]["result"]["curve"][0]["normalized_score"]) for seed in seeds]
    return _ratio(scores_of(runs, seeds, "normalized_score"), theirs) if len(seeds) > 1 else ""


def _limits(some: Arms, arms: Arms) -> str:
    """Agents that were pruned otherwise, and the default at 95 %, beside dense ones."""
    shown: dict[Arm, Runs] = {}
    for arm in sorted(some, key=lambda a: (a.dataset, ALGOS.index(a.algo), a.said)):
        ours, full = of_algorithm(of_dataset(arms, arm.dataset), arm.algo)
        shown[arm] = some[arm]
        shown |= {a: runs for a, runs in ours.items()
                  if a.is_default and (a.sparsity, a.steps) == (0.95, full)}  # fmt: skip
    rows = []
    for arm, runs in shown.items():
        dense = whole_dense(of_dataset(arms, arm.dataset), arm.algo)
        found = beside_dense(arm, runs, dense)
        weights = np.mean(scores_of(runs, runs, "weights_connected"))
        rows.append((arm.dataset, arm.algo, arm.name, arm.asked, len(runs), f"{weights:,.0f}",
                     _spreads(runs.values())[1],
                     "" if found is None else interval(found.ratio)))  # fmt: skip
    return table(
        "| dataset | algorithm | agent | asked for | seeds | weights | averaged weights"
        " | of dense |",
        rows,
    )


def _curves(arms: Arms) -> str:
    """Mean return at a quarter, half, three quarters and the end of training."""
    rows = []
    for algo in ALGOS:
        ours, full = of_algorithm(arms, algo)
        for arm in sorted(ours, key=lambda a: (a.method != "dense", a[2:])):
            if arm.steps != full or arm.sparsity > 0.95:
                continue
            curves = [run["result"]["curve"] for run in ours[arm].values()]
            values = np.asarray([[point["mean_return"] for point in c] for c in curves])
            means = (f"{value:,.0f}" for value in values.mean(axis=0))
            ratio, word = last_quarter(ours[arm])
            rows.append((algo, arm.name, arm.asked, f"{arm.steps:,}", len(curves), *means,
                         interval(ratio, ""), word))  # fmt: skip
    headings = (
        "| algorithm | agent | asked for | steps | seeds | ¼ | ½ | ¾ | all steps"
        " | end over ¾, last weights | the curve |"
    )
    return table(headings, rows)


def _beside_dense_alike(arms: Arms) -> str:
    """Agents beside the dense ones of as many steps with the same hyperparameters but rates."""

    def likeness(arm: Arm) -> tuple[str, str, str, int]:
        return arm.dataset, arm.algo, arm.training, arm.steps

    dense: dict[tuple[str, str, str, int], dict[Arm, Runs]] = {}
    for arm, runs in arms.items():
        if arm.method == "dense":
            dense.setdefault(likeness(arm), {})[arm] = runs
    rows = []
    others = (arm for arm in arms if arm.method != "dense")
    for arm in sorted(others, key=lambda a: (likeness(a), a[2:])):
        alike = dense.get(likeness(arm), {})
        found = beside_dense(arm, arms[arm], alike)
        if found is not None:
            rows.append((arm.dataset, arm.algo, arm.name, arm.asked, found.seeds,
                         interval(found.ratio)))  # fmt: skip
    return table(
        "| dataset | algorithm | agent | asked for | seeds | of dense, the same but for rates |",
        rows,
    )


def _points(arms: Arms) -> str:
    """Returns on the way, run by run."""
    rows = [
        (arm.algo, arm.name, seed,
         ", ".join(f"{p['step']:,}: {p['mean_return']:,.0f}" for p in run["result"]["curve"]))
        for arm, runs in arms.items()
        for seed, run in runs.items()
    ]  # fmt: skip
    return table("| algorithm | agent | seed | step: return |", rows)


def _costs(found: Mapping[str, Any]) -> str:
    """Milliseconds a step, and the dense steps in the time of a pruned run."""
    rows = []
    for dataset, costs in found["milliseconds"].items():
        for algo, cost in costs.items():
            ratios = [
                f"{cost['stock'] / cost[name]:.1f}× ({cost[name] / cost['stock']:.0%})"
                for name in ("0.95", "0.98")
            ]
            own = (f"{cost[n]:.2f}" for n in ("stock", "0", "0.95", "0.98"))
            rows.append((dataset, algo, *own, *ratios))
    headings = (
        "| dataset | algorithm | stock, ms | our dense | 95 % | 98 %"
        " | 95 % against stock (steps that stock takes meanwhile) | 98 % |"
    )
    return f"{found['processor']}, one thread.\n\n" + table(headings, rows)


def _best_ratio(runs: Runs, dense: Arms, weights: Iterable[str]) -> str:
    """The ratio to that dense arm, and those of its weights, which are worth most."""
    candidates = []
    for theirs in dense.values():
        seeds = sorted(runs.keys() & theirs.keys())
        if len(seeds) < 2:
            continue
        for each in weights:
            scores = scores_of(theirs, seeds, SCORES[each])
            candidates.append((float(np.mean(scores)), scores, seeds))
    if not candidates:
        return ""
    _, theirs_scores, seeds = max(candidates, key=lambda c: c[0])
    return _ratio(scores_of(runs, seeds, "normalized_score"), theirs_scores)


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    try:
        found = ratio_to_dense({"task": ours}, {"task": theirs}, least=0.01)
    except InputError:
        return interval(None)
    return interval(found)


def _rates(arms: Arms) -> str:
    rows = []
    for arm in sorted(arms, key=lambda a: (a.dataset, ALGOS.index(a.algo), a.method, a.said)):
        seeds = ", ".join(map(str, sorted(arms[arm])))
        name = arm.method if arm.method == "small_dense" else arm.name
        rows.append((arm.dataset, arm.algo, name, arm.asked, f"{arm.steps:,}", seeds,
                     *_spreads(arms[arm].values())))  # fmt: skip
    return table(
        "| dataset | algorithm | agent | rates | steps | seeds | last weights | averaged weights |",
        rows,
    )


def _spreads(runs: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """Mean ± standard deviation of what the last weights return, and the averaged ones."""
    results = [run["result"] for run in runs]
    averaged = [r["mean_return"] for r in results]
    last = [
        r["mean_return"] if r["last_mean_return"] is None else r["last_mean_return"]
        for r in results
    ]
    last_text, text = (f"{np.mean(v):,.0f} ± {np.std(v):,.0f}" for v in (last, averaged))
    return last_text, text


if __name__ == "__main__":
    main()
