"""SAC on OFENet features, gated while it learns Hopper, against the unpruned and a small one.

The paper's comparison at a budget for one core: small networks, 100 000 environment steps.

    python benchmarks/online_sac_ofenet.py          # trains what is not there, up to an hour a cell
    python benchmarks/online_sac_ofenet.py report   # writes results/online_sac_ofenet.md

One thread a process. Records lie in ``results/online_sac_ofenet.json``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import product
from typing import Any

import numpy as np
from online_cells import RESULTS, records, run_cells, spread
from sac_ofenet import Size, Task, learn

from offline_prune.base.atomic import written_aside
from offline_prune.evaluation.statistics import ratio_to_dense

STUDY, SEEDS = "online_sac_ofenet", (0, 1, 2)
HOPPER = Task("Hopper-v5", 100_000, 10_000, 5, 50, random_steps=5_000, learning_rate=3e-4)
UNPRUNED = Size(2, 40, 64)
SIZES = {
    "unpruned": UNPRUNED,
    "gates": replace(UNPRUNED, sparsity=0.8),
    "small from scratch": Size(2, 12, 22),  # about as many weights as the gates leave
}


def cells() -> list[dict[str, Any]]:
    """All cells, seed by seed."""
    return [
        {"task": asdict(HOPPER), "size": asdict(size), "seed": seed}
        for seed, size in product(SEEDS, SIZES.values())
    ]


def run(task: dict[str, Any], size: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one agent."""
    begun = time.perf_counter()
    found = learn(Task(**task), Size(**size), seed)
    return {**found, "seconds": round(time.perf_counter() - begun, 1)}


def report() -> None:
    """Write the table, and what gates are worth beside the others."""
    task, (large, gated, small) = HOPPER, SIZES.values()
    marks = range(2 * task.every, task.n_steps + 1, 2 * task.every)
    rows, ends = [], {}
    for name, size in SIZES.items():
        own = [r for r in records(STUDY) if (r["task"], r["size"]) == (asdict(task), asdict(size))]
        curves = [dict(map(tuple, r["curve"])) for r in own]
        way = [f"{np.mean([c[mark] for c in curves]):.0f}" if own else "–" for mark in marks]
        weights = f"{np.mean([sum(r['weights'].values()) for r in own]):,.0f}" if own else "–"
        ends[name] = {r["seed"]: r["final"] for r in own}
        end = spread(ends[name].values(), 0)
        rows.append(f"| {name} | {weights} | {' | '.join(way)} | {end} |")
    text = f"""# SAC on OFENet features with gates, online, on Hopper

`{task.environment}`, {task.n_steps:,} environment steps: {task.random_steps:,} at random, then
a gradient step of 128 transitions and an auxiliary step each. {large.layers} layers of
{large.units} units a branch (the paper has 6 of 40), two hidden layers of {large.hidden} on top.
`gates` at {gated.sparsity:.0%} of every network, from 20 to 80 % of the run; the small one has
{small.units} units a layer and {small.hidden} hidden ones. Returns: mean of {task.episodes}
episodes on the way, of {task.last_episodes} at the end; mean ± standard deviation over seeds
(number of seeds in brackets). Made by `python benchmarks/online_sac_ofenet.py report` of
`results/online_sac_ofenet.json`.

What the paper says of SAC with OFENet on MuJoCo (arXiv 2507.11975): networks become much smaller
with minimal loss, and pruning while training does better than training the small one from scratch.

| | weights | {" | ".join(f"{mark:,}" for mark in marks)} | end |
|---|---|{"---|" * len(marks)}---|
""" + "\n".join(rows) + f"""

At the end `gates` return {_ratio(ends, "small from scratch")} of the small one's and
{_ratio(ends, "unpruned")} of the unpruned one's: interquartile means over pairs of seeds, 95 %
intervals.
"""  # fmt: skip
    with written_aside(RESULTS / f"{STUDY}.md") as aside:
        aside.write_text(text)


def _ratio(ends: Mapping[str, Mapping[int, float]], other: str) -> str:
    """``value [low, high]`` of what gates return over what the other one does."""
    ours, theirs = ends["gates"], ends[other]
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        return "–"
    pairs = ({"": [side[seed] for seed in seeds]} for side in (ours, theirs))
    return str(ratio_to_dense(*pairs, bar=1.0))


if __name__ == "__main__":
    report() if sys.argv[1:] == ["report"] else run_cells(STUDY, cells(), run)
