"""Gradient steps a second against stock d3rlpy, interleaved in one process.

python benchmarks/training_speed.py
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory

from offline_prune import Dataset, load_dataset, prune_then_train
from offline_prune.agents.build import build_agent, d3rlpy_config_class
from offline_prune.atomic import written_aside

RESULTS = Path(__file__).parent / "results" / "training_speed.md"
DATASET, ROUNDS = "halfcheetah/medium-small-v0", 3
SPARSITIES = (0.0, 0.95)
# Algorithm → gradient steps a round: a few seconds of work each.
STEPS = {"bc": 1_000, "iql": 300, "td3_plus_bc": 400, "cql": 50, "bcq": 20}


def stock_milliseconds(config: Any, buffer: ReplayBuffer, steps: int) -> float:
    """A step of d3rlpy's own ``fit`` on its own buffer, epochs as long as the run."""
    algo = config.create(device="cpu:0")
    algo.build_with_dataset(buffer)
    start = time.perf_counter()
    algo.fit(
        buffer,
        n_steps=steps,
        n_steps_per_epoch=steps,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )
    return 1e3 * (time.perf_counter() - start) / steps


def our_milliseconds(config: Any, data: Dataset, sparsity: float, steps: int) -> float:
    """A step of this package's training."""
    result = prune_then_train(data, config, sparsity, n_steps=steps, evaluate=0, progress=False)
    return 1e3 * result.training_seconds / steps


def main() -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    data = load_dataset(DATASET)
    buffer = ReplayBuffer(InfiniteBuffer(), episodes=data.buffer.episodes)
    lines = [
        "# Training speed",
        "",
        "Milliseconds a gradient step of d3rlpy's `fit` on its own buffer, and of this package's",
        "masked engine; in brackets the ratio, stock over ours. d3rlpy's default hyperparameters,",
        f"batch 256, hidden layers 256-256, `{DATASET}`, one thread, medians of {ROUNDS} rounds",
        "taken in turn. Made by `python benchmarks/training_speed.py`.",
        "",
        "| algorithm | stock d3rlpy | dense | SNIP at 95 % |",
        "|---|---|---|---|",
    ]
    build_agent(data, "bc")  # the first network of a process costs more than the next
    for algo, steps in STEPS.items():
        config = d3rlpy_config_class(algo)(batch_size=256)
        times: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            times.setdefault("stock", []).append(stock_milliseconds(config, buffer, steps))
            for sparsity in SPARSITIES:
                found = our_milliseconds(config, data, sparsity, steps)
                times.setdefault(f"{sparsity}", []).append(found)
        stock, *ours = (float(np.median(found)) for found in times.values())
        cells = [f"{value:.2f} ({stock / value:.2f}×)" for value in ours]
        lines.append(f"| {algo} | {stock:.2f} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    with written_aside(RESULTS) as aside:
        aside.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
