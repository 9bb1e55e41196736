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
from online_cells import RESULTS, Record, records, run_cells, spread
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


def means(algo: str, width: int, sparsity: float) -> dict[int, float]:
    """Seed → mean return of its episodes."""
    return {r["seed"]: float(np.mean(r["returns"])) for r in _of(algo, width, sparsity)}


def _of(*asked: Any) -> list[Record]:
    """The records of an algorithm, width and sparsity."""
    return [r for r in records(STUDY) if (r["algo"], r["width"], r["sparsity"]) == asked]


def report() -> None:
    """Write the table."""
    rows = []
    for algo, width, sparsity in product(TRAIN, WIDTHS, SPARSITIES):
        own, dense = means(algo, width, sparsity), means(algo, width, 0.0)
        name = f"gmp {sparsity:.0%}" if sparsity else "dense"
        kept = [r["weights"] for r in _of(algo, width, sparsity)]
        weights = f"{kept[0]:,}" if kept else "–"
        both = sorted(own.keys() & dense.keys()) if sparsity else []
        ratio = sum(own[i] for i in both) / sum(dense[i] for i in both) if both else None
        of_dense = "–" if ratio is None else f"{ratio:.2f} ({len(both)})"
        cells = (algo.upper(), str(width), name, weights, spread(own.values()), of_dense)
        rows.append(f"| {' | '.join(cells)} |")
    text = f"""# Gradual magnitude pruning of value networks, online

DQN of Stable-Baselines3 and C51 of tianshou on MinAtar's Breakout, {STEPS:,} environment steps, a
gradient step of 32 transitions every fourth; MinAtar's own network at widths 1 and 3; `gmp` with
Erdős–Rényi-kernel densities from 20 to 80 % of the run. C51 has 51 atoms from −10 to 10 and plays
four games side by side; exploration, buffer and target updates are DQN's. Returns: greedy, mean of
{EPISODES} episodes; mean ± standard deviation over seeds (number of seeds in brackets); over that
of the dense networks of the same seeds. Made by `python benchmarks/online_minatar.py report` of
`results/online_minatar.json`.

What the paper says of Atari, of DQN and Rainbow among others (arXiv 2402.12479): at three times the
width, gradual pruning to 90 and 95 % raises DQN's return by a third (1.33 in the last column), and
the wider the networks are, the worse dense ones and the better pruned ones become.

| | width | | weights | return | of dense |
|---|---|---|---|---|---|
""" + "\n".join(rows) + "\n"  # fmt: skip
    with written_aside(RESULTS / f"{STUDY}.md") as aside:
        aside.write_text(text)


if __name__ == "__main__":
    report() if sys.argv[1:] == ["report"] else run_cells(STUDY, cells(), run)
