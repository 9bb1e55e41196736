"""How much of its dense return does a pruned agent keep?

    python benchmarks/retention/table.py

writes ``benchmarks/retention/README.md`` of whatever cells the archives hold. They are those
of four sweeps: ``grid.toml`` (``results``), ``rates.toml``, ``choice.toml`` and
``longer.toml``. To go on with one that is not done:

    tar -C benchmarks/retention -xf benchmarks/retention/choice.tar.xz
    offline-prune sweep benchmarks/retention/choice.toml --out benchmarks/retention/choice
    make cells STUDY=benchmarks/retention/choice
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from offline_prune.base.atomic import written_aside
from offline_prune.errors import InputError
from offline_prune.evaluation.statistics import ratio_to_dense
from offline_prune.study.records import read_records

FOLDER = Path(__file__).parent
ALGOS = ("bc", "iql", "bcq", "td3_plus_bc", "cql")
RECIPE = "recipe"
SCORES = {"averaged": "normalized_score", "last": "last_normalized_score"}
Runs = dict[int, Mapping[str, Any]]
"""Seed → record."""


def main() -> None:
    """Write the page."""
    arms = recorded("results")
    parts = [(FOLDER / "preface.md").read_text(encoding="utf-8").strip()]
    for dataset in sorted({arm.dataset for arm in arms}):
        ours = {arm: runs for arm, runs in arms.items() if arm.dataset == dataset}
        parts += [f"## {dataset}", _returns(ours), _kept(ours)]
        parts += ["### Curves: last weights, at the end averaged", _curves(ours)]
    if (FOLDER / "seconds.json").exists():
        parts += ["## What a step costs", _costs(json.loads((FOLDER / "seconds.json").read_text()))]
    for heading, folder in (
        ("Which rates?", "rates"),
        ("Which mask, and which steps?", "choice"),
        ("Three times the steps", "longer"),
    ):
        if found := recorded(folder):
            parts += [f"## {heading}", _rates(found)]
            if folder == "longer":
                parts += [_points(found)]
    with written_aside(FOLDER / "README.md") as aside:
        aside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


class Arm(NamedTuple):
    """Runs that differ in their seed alone; ``said`` is what the cell says besides."""

    dataset: str
    algo: str
    method: str
    sparsity: float
    said: str
    steps: int

    @property
    def name(self) -> str:
        """The method, and the sparsity of those that were asked for one."""
        return self.method if self.method == "dense" else f"{self.method} {self.sparsity:.0%}"

    @property
    def asked(self) -> str:
        """What the cell says besides, without its quotation marks."""
        return self.said.replace('"', "")


Arms = Mapping[Arm, Runs]


def recorded(name: str) -> dict[Arm, Runs]:
    """The arms of a sweep whose cells are in the archive of that name."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(FOLDER / f"{name}.tar.xz", folder, filter="data")
        records = read_records(Path(folder) / name)
    found: dict[Arm, Runs] = {}
    for record in records:
        if record["status"] != "ok":
            continue
        cell = record["cell"]
        axes = (cell["dataset"], cell["algo"], cell["method"], float(cell["sparsity"]))
        arm = Arm(*axes, _said(cell), record["result"]["n_steps"])
        found.setdefault(arm, {})[cell["seed"]] = record
    return found


def _said(cell: Mapping[str, Any]) -> str:
    """What a cell asks for besides the defaults of its arm."""
    names = ("allocation", "parameterization", "refill")
    said = {n: cell[n] for n in names if cell.get(n) not in (None, False, "standard")}
    said |= cell["algo_params"]
    return json.dumps(said, sort_keys=True) if said else RECIPE


def scores_of(runs: Runs, seeds: Iterable[int], name: str) -> list[float]:
    """A number of each of these seeds' results."""
    return [float(runs[seed]["result"][name]) for seed in seeds]


def _returns(arms: Arms) -> str:
    rows = []
    for arm in sorted(arms, key=lambda a: (ALGOS.index(a.algo), a.method != "dense", a[2:])):
        runs = list(arms[arm].values())
        last, averaged = _spreads(runs)
        seconds = np.median([run["timing"]["training_seconds"] for run in runs])
        weights = np.mean([run["result"]["weights_connected"] for run in runs])
        name = arm.method if arm.method == "small_dense" else arm.name
        rows.append((arm.algo, name, arm.asked, f"{arm.steps:,}", len(runs), last, averaged,
                     f"{seconds:.0f}", f"{weights:,.0f}"))  # fmt: skip
    return _table(
        "| algorithm | agent | asked for | steps | seeds | last weights | averaged weights"
        " | seconds | weights |",
        rows,
    )


def _kept(arms: Arms) -> str:
    """Ratios to dense agents: the recipe's, and the best of all dense arms."""
    rows = []
    for algo in ALGOS:
        ours, full = _of_algorithm(arms, algo)
        dense = {a: r for a, r in ours.items() if a.method == "dense" and a.steps == full}
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
    return _table(
        "| algorithm | agent | asked for | of dense, recipe's rates, last weights"
        " | of the best dense arm | of the best dense arm at an eighth of the steps"
        " | of dense, recipe's rates, last weights, at a quarter of the steps |",
        rows,
    )


def _of_algorithm(arms: Arms, algo: str) -> tuple[Arms, int]:
    """The arms of an algorithm, and the most steps that one of them takes."""
    ours = {arm: runs for arm, runs in arms.items() if arm.algo == algo}
    return ours, max((arm.steps for arm in ours), default=0)


def _quarter(runs: Runs, dense: Runs) -> str:
    """The ratio to what dense agents return on the way, at the first of four evaluations."""
    seeds = sorted(runs.keys() & dense.keys())
    theirs = [float(dense[seed]["result"]["curve"][0]["normalized_score"]) for seed in seeds]
    return _ratio(scores_of(runs, seeds, "normalized_score"), theirs) if len(seeds) > 1 else ""


def _curves(arms: Arms) -> str:
    """Mean return at a quarter, half, three quarters and the end of training."""
    rows = []
    for algo in ALGOS:
        ours, full = _of_algorithm(arms, algo)
        for arm in sorted(ours, key=lambda a: (a.method != "dense", a[2:])):
            if arm.steps != full or arm.sparsity > 0.95:
                continue
            curves = [run["result"]["curve"] for run in ours[arm].values()]
            values = np.asarray([[point["mean_return"] for point in c] for c in curves])
            means = (f"{value:,.0f}" for value in values.mean(axis=0))
            rows.append((algo, arm.name, len(curves), *means))
    return _table("| algorithm | agent | seeds | ¼ | ½ | ¾ | all steps |", rows)


def _points(arms: Arms) -> str:
    """Returns on the way, run by run."""
    rows = [
        (arm.algo, arm.name, seed,
         ", ".join(f"{p['step']:,}: {p['mean_return']:,.0f}" for p in run["result"]["curve"]))
        for arm, runs in arms.items()
        for seed, run in runs.items()
    ]  # fmt: skip
    return _table("| algorithm | agent | seed | step: return |", rows)


def _costs(found: Mapping[str, Any]) -> str:
    """Milliseconds a step, and the dense steps in the time of a pruned run."""
    rows = []
    for algo, cost in found["milliseconds"].items():
        ratios = [
            f"{cost['stock'] / cost[name]:.1f}× ({cost[name] / cost['stock']:.0%})"
            for name in ("0.95", "0.98")
        ]
        rows.append((algo, *(f"{cost[n]:.2f}" for n in ("stock", "0", "0.95", "0.98")), *ratios))
    headings = (
        "| algorithm | stock, ms | our dense | 95 % | 98 %"
        " | 95 % against stock (steps that stock takes meanwhile) | 98 % |"
    )
    return f"{found['processor']}, one thread.\n\n" + _table(headings, rows)


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
        return "dense fails"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _rates(arms: Arms) -> str:
    rows = []
    for arm in sorted(arms, key=lambda a: (a.dataset, ALGOS.index(a.algo), a.method, a.said)):
        seeds = ", ".join(map(str, sorted(arms[arm])))
        name = arm.method if arm.method == "small_dense" else arm.name
        rows.append((arm.dataset, arm.algo, name, arm.asked, f"{arm.steps:,}", seeds,
                     *_spreads(arms[arm].values())))  # fmt: skip
    return _table(
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


def _table(headings: str, rows: Iterable[Sequence[object]]) -> str:
    lines = [headings, "|" + "---|" * (headings.count("|") - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
