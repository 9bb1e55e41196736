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
from typing import Any

import numpy as np

from offline_prune.base.atomic import written_aside
from offline_prune.errors import InputError
from offline_prune.evaluation.statistics import ratio_to_dense
from offline_prune.study.records import read_records

FOLDER = Path(__file__).parent
ALGOS = ("bc", "iql", "bcq", "td3_plus_bc", "cql")
TARGETS = {"bc": 0.95, "iql": 0.95, "bcq": 0.95, "td3_plus_bc": 0.90, "cql": 0.90}
FLOOR = 0.85  # no algorithm below, on any dataset
RECIPE = "recipe"
Runs = dict[int, Mapping[str, Any]]
"""Seed → record."""


def main() -> None:
    """Write the page."""
    arms = _recorded("results")
    datasets = sorted({key[0] for key in arms})
    parts = [(FOLDER / "preface.md").read_text(encoding="utf-8").strip()]
    for dataset in datasets:
        parts += [f"## {dataset}", _returns(arms, dataset), _kept(arms, dataset)]
        parts += ["### Curves: last weights, at the end averaged", _curves(arms, dataset)]
    if (FOLDER / "seconds.json").exists():
        parts += ["## What a step costs", _costs(json.loads((FOLDER / "seconds.json").read_text()))]
    for heading, folder in (
        ("Which rates?", "rates"),
        ("Which mask, and which steps?", "choice"),
        ("Three times the steps", "longer"),
    ):
        if found := _recorded(folder):
            parts += [f"## {heading}", _rates(found)]
            if folder == "longer":
                parts += [_points(found)]
    with written_aside(FOLDER / "README.md") as aside:
        aside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


Arm = tuple[str, str, str, float, str, int]
"""Dataset, algorithm, method, sparsity, what the cell says besides, gradient steps."""


def _recorded(name: str) -> dict[Arm, Runs]:
    """The arms of a sweep whose cells are in the archive of that name."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(FOLDER / f"{name}.tar.xz", folder, filter="data")
        records = read_records(Path(folder) / name)
    found: dict[Arm, Runs] = {}
    for record in records:
        if record["status"] != "ok":
            continue
        cell, result = record["cell"], record["result"]
        key = (
            cell["dataset"],
            cell["algo"],
            cell["method"],
            float(cell["sparsity"]),
            _said(cell),
            result["n_steps"],
        )
        found.setdefault(key, {})[cell["seed"]] = record
    return found


def _said(cell: Mapping[str, Any]) -> str:
    """What a cell asks for besides the defaults of its arm."""
    names = ("allocation", "parameterization", "refill")
    said = {n: cell[n] for n in names if cell.get(n) not in (None, False, "standard")}
    said |= cell["algo_params"]
    return json.dumps(said, sort_keys=True) if said else RECIPE


def _scores(runs: Runs, seeds: Iterable[int], name: str) -> list[float]:
    return [float(runs[seed]["result"][name]) for seed in seeds]


def _returns(arms: Mapping[Arm, Runs], dataset: str) -> str:
    rows = []
    for key in sorted(arms, key=lambda k: (ALGOS.index(k[1]), k[2] != "dense", k[2:])):
        if key[0] != dataset:
            continue
        _, algo, method, sparsity, said, steps = key
        runs = arms[key]
        seeds = sorted(runs)
        results = [runs[seed]["result"] for seed in seeds]
        averaged = [r["mean_return"] for r in results]
        last = [
            r["mean_return"] if r["last_mean_return"] is None else r["last_mean_return"]
            for r in results
        ]
        seconds = [runs[seed]["timing"]["training_seconds"] for seed in seeds]
        name = method if method in ("dense", "small_dense") else f"{method} {sparsity:.0%}"
        rows.append(
            (
                algo,
                name,
                said.replace('"', ""),
                f"{steps:,}",
                len(seeds),
                _spread(last),
                _spread(averaged),
                f"{np.median(seconds):.0f}",
                f"{np.mean([r['weights_connected'] for r in results]):,.0f}",
            )
        )
    headings = (
        "algorithm",
        "agent",
        "asked for",
        "steps",
        "seeds",
        "last weights",
        "averaged weights",
        "seconds",
        "weights",
    )
    return _table(headings, rows)


def _kept(arms: Mapping[Arm, Runs], dataset: str) -> str:
    """Ratios to dense agents: the recipe's, and the best of all dense arms."""
    rows = []
    for algo in ALGOS:
        ours = {k: r for k, r in arms.items() if k[:2] == (dataset, algo)}
        full = max((k[5] for k in ours), default=0)
        dense = {k: r for k, r in ours.items() if k[2] == "dense" and k[5] == full}
        short = {k: r for k, r in ours.items() if k[2] == "dense" and k[5] < full}
        for key, runs in ours.items():
            if key[2] == "dense" or key[5] != full:
                continue
            against = [
                _best_ratio(runs, {k: r for k, r in group.items() if keep(k)}, name)
                for group, keep, name in (
                    (dense, lambda k: k[4] == RECIPE, "last_mean_return"),
                    (dense, lambda k: True, None),
                    (short, lambda k: True, None),
                )
            ]
            quarter = [_quarter(runs, theirs) for k, theirs in dense.items() if k[4] == RECIPE]
            rows.append(
                (algo, f"{key[2]} {key[3]:.0%}", key[4].replace('"', ""), *against, *quarter)
            )
    headings = (
        "algorithm",
        "agent",
        "asked for",
        "of dense, recipe's rates, last weights",
        "of the best dense arm",
        "of the best dense arm at an eighth of the steps",
        "of dense, recipe's rates, last weights, at a quarter of the steps",
    )
    return _table(headings, rows)


def _quarter(runs: Runs, dense: Runs) -> str:
    """The ratio to what dense agents return on the way, at the first of four evaluations."""
    seeds = sorted(runs.keys() & dense.keys())
    theirs = [float(dense[seed]["result"]["curve"][0]["normalized_score"]) for seed in seeds]
    return _ratio(_scores(runs, seeds, "normalized_score"), theirs) if len(seeds) > 1 else ""


def _curves(arms: Mapping[Arm, Runs], dataset: str) -> str:
    """Mean return at a quarter, half, three quarters and the end of training."""
    rows = []
    for algo in ALGOS:
        ours = {k: r for k, r in arms.items() if k[:2] == (dataset, algo)}
        full = max((k[5] for k in ours), default=0)
        for key in sorted(ours, key=lambda k: (k[2] != "dense", k[2:])):
            if key[5] != full or key[3] > 0.95:
                continue
            curves = [r["result"]["curve"] for r in ours[key].values()]
            values = np.asarray([[point["mean_return"] for point in c] for c in curves])
            name = key[2] if key[3] == 0 else f"{key[2]} {key[3]:.0%}"
            rows.append((algo, name, len(curves), *(f"{v:,.0f}" for v in values.mean(axis=0))))
    return _table(("algorithm", "agent", "seeds", "¼", "½", "¾", "all steps"), rows)


def _points(arms: Mapping[Arm, Runs]) -> str:
    """Returns on the way, run by run."""
    rows = [
        (key[1], f"{key[2]} {key[3]:.0%}", seed,
         ", ".join(f"{p['step']:,}: {p['mean_return']:,.0f}" for p in run["result"]["curve"]))
        for key, runs in arms.items()
        for seed, run in runs.items()
    ]  # fmt: skip
    return _table(("algorithm", "agent", "seed", "step: return"), rows)


def _costs(found: Mapping[str, Any]) -> str:
    """Milliseconds a step, and the dense steps in the time of a pruned run."""
    rows = []
    for algo, cost in found["milliseconds"].items():
        ratios = [
            f"{cost['stock'] / cost[name]:.1f}× ({cost[name] / cost['stock']:.0%})"
            for name in ("0.95", "0.98")
        ]
        rows.append((algo, *(f"{cost[n]:.2f}" for n in ("stock", "0", "0.95", "0.98")), *ratios))
    return f"{found['processor']}, one thread.\n\n" + _table(
        ("algorithm", "stock, ms", "our dense", "95 %", "98 %",
         "95 % against stock (steps that stock takes meanwhile)", "98 %"), rows)  # fmt: skip


def _best_ratio(runs: Runs, dense: Mapping[Arm, Runs], name: str | None) -> str:
    """The ratio to that dense arm, and those of its weights, which are worth most."""
    names = ("mean_return", "last_mean_return") if name is None else (name,)
    candidates = []
    for theirs in dense.values():
        seeds = sorted(runs.keys() & theirs.keys())
        if len(seeds) < 2:
            continue
        for each in names:
            scores = _scores(theirs, seeds, _normalized(each))
            candidates.append((float(np.mean(scores)), scores, seeds))
    if not candidates:
        return ""
    _, theirs_scores, seeds = max(candidates, key=lambda c: c[0])
    return _ratio(_scores(runs, seeds, "normalized_score"), theirs_scores)


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    try:
        found = ratio_to_dense({"task": ours}, {"task": theirs}, least=0.01)
    except InputError:
        return "dense fails"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _normalized(name: str) -> str:
    return {"mean_return": "normalized_score", "last_mean_return": "last_normalized_score"}[name]


def _rates(arms: Mapping[Arm, Runs]) -> str:
    rows = []
    for key in sorted(arms, key=lambda k: (k[0], ALGOS.index(k[1]), k[2], k[4])):
        dataset, algo, method, sparsity, said, steps = key
        runs = arms[key]
        results = [runs[seed]["result"] for seed in sorted(runs)]
        name = method if method in ("dense", "small_dense") else f"{method} {sparsity:.0%}"
        rows.append(
            (
                dataset,
                algo,
                name,
                said.replace('"', ""),
                f"{steps:,}",
                ", ".join(map(str, sorted(runs))),
                _spread([r["last_mean_return"] for r in results]),
                _spread([r["mean_return"] for r in results]),
            )
        )
    headings = (
        "dataset",
        "algorithm",
        "agent",
        "rates",
        "steps",
        "seeds",
        "last weights",
        "averaged weights",
    )
    return _table(headings, rows)


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):,.0f} ± {np.std(values):,.0f}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
