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
import numpy as np
import torch
from gymnasium import spaces
from online_cells import RESULTS, records, run_cells, spread
from stable_baselines3 import DQN
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

import offline_prune  # noqa: F401 - registers MinAtar
from offline_prune.base.atomic import written_aside
from offline_prune.hosts.sb3 import PruningCallback

STUDY = "online_minatar"
GAME, STEPS, EPISODES = "offline_prune/MinAtar-Breakout-v0", 200_000, 50
WIDTHS, SPARSITIES, SEEDS = (1, 3), (0.0, 0.9, 0.95), (0, 1, 2)


class Features(BaseFeaturesExtractor):  # type: ignore[misc]
    """MinAtar's own network: a 3×3 convolution of 16 filters, 128 units; wider by a factor."""

    def __init__(self, observation_space: spaces.Box, width: int) -> None:
        """Make the layers."""
        super().__init__(observation_space, 128 * width)
        channels, height, breadth = observation_space.shape
        inside = 16 * width * (height - 2) * (breadth - 2)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16 * width, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(inside, 128 * width), nn.ReLU(),
        )  # fmt: skip

    def forward(self, observations: Tensor) -> Tensor:
        """(B, channels, 10, 10) → (B, 128 · width)."""
        features: Tensor = self.layers(observations)
        return features


def cells() -> list[dict[str, Any]]:
    """All cells, seed by seed."""
    return [
        {"algo": "dqn", "width": width, "sparsity": sparsity, "seed": seed, "steps": STEPS}
        for seed, width, sparsity in product(SEEDS, WIDTHS, SPARSITIES)
    ]


def run(algo: str, width: int, sparsity: float, seed: int, steps: int) -> dict[str, Any]:
    """Train one agent and play 50 episodes with it, greedily."""
    torch.set_num_threads(1)
    kwargs = {"features_extractor_class": Features, "net_arch": [],
              "features_extractor_kwargs": {"width": width}}  # fmt: skip
    model = DQN(
        "CnnPolicy", gymnasium.make(GAME), learning_rate=2.5e-4, buffer_size=100_000,
        learning_starts=5000, batch_size=32, train_freq=4, target_update_interval=1000,
        exploration_fraction=0.25, exploration_final_eps=0.05, policy_kwargs=kwargs, seed=seed,
        device="cpu",
    )  # fmt: skip
    callback = PruningCallback("gmp", sparsity, seed=seed) if sparsity else None
    begun = time.perf_counter()
    model.learn(steps, callback=callback)
    seconds = time.perf_counter() - begun
    environment = gymnasium.make(GAME)
    environment.reset(seed=10_000 + seed)
    returns, _ = evaluate_policy(
        model, environment, EPISODES, return_episode_rewards=True, warn=False
    )
    weights = [m.weight for m in model.q_net.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return {
        "returns": [float(value) for value in returns],
        "weights": sum(int(weight.count_nonzero()) for weight in weights),
        "seconds": round(seconds, 1),
    }


def report() -> None:
    """Write the table."""
    found = records(STUDY)
    rows = []
    for width, sparsity in product(WIDTHS, SPARSITIES):
        own = [r for r in found if (r["width"], r["sparsity"]) == (width, sparsity)]
        name = f"gmp {sparsity:.0%}" if sparsity else "dense"
        means = [float(np.mean(r["returns"])) for r in own]
        weights = f"{own[0]['weights']:,}" if own else "–"
        rows.append(f"| {width} | {name} | {weights} | {spread(means)} |")
    text = f"""# Gradual magnitude pruning of value networks, online

DQN of Stable-Baselines3 on MinAtar's Breakout, {STEPS:,} environment steps, a gradient step of 32
transitions every fourth; MinAtar's own network at widths 1 and 3; `gmp` with
Erdős–Rényi-kernel densities from 20 to 80 % of the run. Returns: greedy, mean of {EPISODES}
episodes; mean ± standard deviation over seeds (number of seeds in brackets). Made by `python
benchmarks/online_minatar.py report` of `results/online_minatar.json`.

| width | | weights | return |
|---|---|---|---|
""" + "\n".join(rows) + "\n"  # fmt: skip
    with written_aside(RESULTS / f"{STUDY}.md") as aside:
        aside.write_text(text)


if __name__ == "__main__":
    report() if sys.argv[1:] == ["report"] else run_cells(STUDY, cells(), run)
