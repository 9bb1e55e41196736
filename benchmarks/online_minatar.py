"""Gradual magnitude pruning of value networks that learn online, at two widths.

DQN of Stable-Baselines3 and C51 of tianshou on MinAtar's Breakout: does a wide network profit from
being pruned, as the paper says of Atari?

    python benchmarks/online_minatar.py          # trains what is not there, a few minutes a cell
    python benchmarks/online_minatar.py report   # writes results/online_minatar.md

One thread a process. Records lie in ``results/online_minatar.json``.
"""

from __future__ import annotations

import sys
import time
from itertools import product
from typing import Any

import gymnasium
import minatar_c51
import minatar_dqn
import numpy as np
import torch
from online_cells import RESULTS, records, run_cells, spread
from stable_baselines3.common.evaluation import evaluate_policy
from torch import nn

import offline_prune  # noqa: F401 - registers MinAtar
from offline_prune.base.atomic import written_aside

STUDY = "online_minatar"
GAME, STEPS, EPISODES = "offline_prune/MinAtar-Breakout-v0", 200_000, 50
WIDTHS, SPARSITIES, SEEDS = (1, 3), (0.0, 0.9, 0.95), (0, 1, 2)
TRAIN = {"dqn": minatar_dqn.train, "c51": minatar_c51.train}


def cells() -> list[dict[str, Any]]:
    """All cells: DQN's seed by seed, then C51's, the narrow ones first."""
    order = [("dqn", width, seed) for seed, width in product(SEEDS, WIDTHS)]
    order += [("c51", width, seed) for width, seed in product(WIDTHS, SEEDS)]
    return [
        {"algo": algo, "width": width, "sparsity": sparsity, "seed": seed, "steps": STEPS}
        for algo, width, seed in order
        for sparsity in SPARSITIES
    ]


def run(algo: str, width: int, sparsity: float, seed: int, steps: int) -> dict[str, Any]:
    """Train one agent and play 50 episodes with it, greedily."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    agent, network = TRAIN[algo](GAME, width, sparsity, seed, steps)
    seconds = time.perf_counter() - begun
    environment = gymnasium.make(GAME)
    environment.reset(seed=10_000 + seed)
    returns, _ = evaluate_policy(
        agent, environment, EPISODES, return_episode_rewards=True, warn=False
    )
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return {
        "returns": [float(value) for value in returns],
        "weights": sum(int(weight.count_nonzero()) for weight in weights),
        "seconds": round(seconds, 1),
    }


def report() -> None:
    """Write the table."""
    found = records(STUDY)
    rows = []
    for algo, width, sparsity in product(TRAIN, WIDTHS, SPARSITIES):
        asked = (algo, width, sparsity)
        own = [r for r in found if (r["algo"], r["width"], r["sparsity"]) == asked]
        name = f"gmp {sparsity:.0%}" if sparsity else "dense"
        means = [float(np.mean(r["returns"])) for r in own]
        weights = f"{own[0]['weights']:,}" if own else "–"
        rows.append(f"| {algo.upper()} | {width} | {name} | {weights} | {spread(means)} |")
    text = f"""# Gradual magnitude pruning of value networks, online

DQN of Stable-Baselines3 and C51 of tianshou on MinAtar's Breakout, {STEPS:,} environment steps, a
gradient step of 32 transitions every fourth; MinAtar's own network at widths 1 and 3; `gmp` with
Erdős–Rényi-kernel densities from 20 to 80 % of the run. C51 has 51 atoms from −10 to 10 and plays
four games side by side; exploration, buffer and target updates are DQN's. Returns: greedy, mean of
{EPISODES} episodes; mean ± standard deviation over seeds (number of seeds in brackets). Made by
`python benchmarks/online_minatar.py report` of `results/online_minatar.json`.

What the paper says of Atari, with DQN and Rainbow among others and far longer runs (arXiv
2402.12479): at three times the width, gradual pruning to 90 and 95 % raises DQN's return by a
third, and the wider the networks the worse dense ones and the better pruned ones become.

| | width | | weights | return |
|---|---|---|---|---|
""" + "\n".join(rows) + "\n"  # fmt: skip
    with written_aside(RESULTS / f"{STUDY}.md") as aside:
        aside.write_text(text)


if __name__ == "__main__":
    report() if sys.argv[1:] == ["report"] else run_cells(STUDY, cells(), run)
