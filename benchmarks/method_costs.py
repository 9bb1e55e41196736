"""What choosing a mask costs, in dense gradient steps of the algorithm.

python benchmarks/method_costs.py
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scoring_stability import step_seconds
from training_speed import CONTINUOUS, DATASET, config_of

from offline_prune import Dataset, load_dataset
from offline_prune.agents import build_agent
from offline_prune.base.atomic import written_aside
from offline_prune.methods import METHODS, PruningSettings, make_method

RESULTS = Path(__file__).parent / "results" / "method_costs.md"
SPARSITY, REPEATS = 0.95, 3


def method_seconds(data: Dataset, config: Any, method: str) -> float:
    """Median time from a built agent to its mask, on one mini-batch."""
    agent = build_agent(data, config).agent
    times = []
    for seed in range(REPEATS):
        settings = PruningSettings(agent.per_network(SPARSITY), n_batches=1, seed=seed)
        start = time.perf_counter()
        chosen = make_method(method, settings)
        chosen.before_training(chosen.choose_agent(agent, data), data)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    data = load_dataset(DATASET)
    steps = {
        algo: step_seconds(build_agent(data, config_of(algo, 256)).agent, data)
        for algo in CONTINUOUS
    }
    lines = [
        "# What choosing a mask costs",
        "",
        f"Time from a built agent to its {SPARSITY:.0%} mask in dense gradient steps of the",
        "algorithm, on **one** mini-batch of 256; networks 256-256, batch 256, one thread,",
        f"`{DATASET}`. n mini-batches cost what looks at data n times as much; eight are the",
        "default. Ten rounds of iterative SNIP and FORCE, 100 of",
        f"SynFlow and PX. Medians of {REPEATS}. Made by `python benchmarks/method_costs.py`.",
        "",
        f"| method | {' | '.join(CONTINUOUS)} |",
        "|---|" + "---|" * len(CONTINUOUS),
    ]
    for method in METHODS:
        chosen = make_method(method, PruningSettings({}))
        if chosen.while_training or chosen.replaces_agent:
            continue  # chooses nothing before training
        cells = [
            f"{method_seconds(data, config_of(algo, 256), method) / steps[algo]:.1f}"
            for algo in CONTINUOUS
        ]
        lines.append(f"| {method} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    with written_aside(RESULTS) as aside:
        aside.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
