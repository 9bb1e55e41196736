"""What a gradient step costs: stock d3rlpy, our dense agent, and agents pruned without a word.

    OMP_NUM_THREADS=1 python benchmarks/retention/seconds.py

writes ``benchmarks/retention/seconds.json``, of which ``table.py`` tells how many dense
steps fit into the time of a pruned run. On a quiet machine: rounds in turn, medians, one
thread; the recipes of ``grid.toml``, on the bundled part of its data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory

from offline_prune import load_dataset, prune
from offline_prune.agents import build_agent
from offline_prune.atomic import written_aside

DATASET, ROUNDS, SECONDS = "halfcheetah/medium-small-v0", 5, 1.5
ALGOS = ("bc", "iql", "bcq", "td3_plus_bc", "cql")


def training(algo: Any, buffer: Any) -> Callable[[int], float]:
    """A function of a number of steps: milliseconds a step of ``fit``."""

    def train(n_steps: int) -> float:
        start = time.perf_counter()
        algo.fit(
            buffer,
            n_steps=n_steps,
            n_steps_per_epoch=n_steps,
            logger_adapter=NoopAdapterFactory(),
            show_progress=False,
        )
        return 1e3 * (time.perf_counter() - start) / n_steps

    return train


def measure(algo: str) -> dict[str, float]:
    """Name → median milliseconds a step, every contender in turn."""
    data = load_dataset(DATASET)
    built = build_agent(data, algo)
    stock_buffer = ReplayBuffer(InfiniteBuffer(), episodes=data.buffer.episodes)
    contenders = {"stock": training(built.agent.algo, stock_buffer)}
    for sparsity in (0.0, 0.95, 0.98):
        agent, _ = prune(data, algo, sparsity, n_steps=20_000)
        contenders[f"{sparsity:g}"] = training(agent.algo, data.buffer)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    steps = {}
    for name, train in contenders.items():
        train(2)  # compiles kernels, builds optimizer states
        steps[name] = max(2, round(1e3 * SECONDS / train(5)))
    order = list(contenders)
    for first in range(ROUNDS):  # each round begins with another one
        turn = first % len(order)
        for name in order[turn:] + order[:turn]:
            times[name].append(contenders[name](steps[name]))
    return {name: round(float(np.median(found)), 4) for name, found in times.items()}


def main() -> None:
    """Measure all algorithms and write the file."""
    torch.set_num_threads(1)
    found = {algo: measure(algo) for algo in ALGOS}
    with written_aside(Path(__file__).parent / "seconds.json") as aside:
        aside.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
