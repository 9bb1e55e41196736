"""How many mini-batches does a stable mask need, and what do they cost?

python benchmarks/scoring_stability.py
"""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from offline_prune import Agent, Dataset, load_dataset
from offline_prune.agents import build_agent
from offline_prune.base.atomic import written_aside
from offline_prune.masks.build import build_mask
from offline_prune.saliency import SALIENCIES, score_networks

RESULTS = Path(__file__).parent / "results" / "scoring_stability.md"
DATASET, SPARSITY, DRAWS = "halfcheetah/medium-small-v0", 0.95, 4
COUNTS = (1, 2, 4, 8, 16)
ALGORITHMS = ("bc", "iql", "td3_plus_bc", "cql", "bcq")


def step_seconds(agent: Agent, data: Dataset) -> float:
    """Median time of a dense gradient step at the algorithm's batch size."""
    times = []
    for _ in range(12):
        batch = data.buffer.sample_transition_batch(agent.algo.batch_size)
        start = time.perf_counter()
        agent.algo.update(batch)
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:]))


def measure(agent: Agent, data: Dataset, method: str, count: int) -> tuple[float, float]:
    """(least overlap of a network's masks over pairs of draws, seconds a scoring)."""
    masks, times = [], []
    for draw in range(DRAWS):
        start = time.perf_counter()
        scores = score_networks(agent, data, SALIENCIES[method], n_batches=count, seed=1_000 * draw)
        times.append(time.perf_counter() - start)
        masks.append(build_mask(agent, scores, agent.per_network(SPARSITY)))
    overlaps = {
        role: np.mean([a[role].jaccard(b[role]) for a, b in combinations(masks, 2)])
        for role in agent.roles
    }
    return float(min(overlaps.values())), float(np.median(times))


def main() -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    data = load_dataset(DATASET)
    lines = [
        "# Stability and cost of scoring",
        "",
        f"Overlap (Jaccard) of the {SPARSITY:.0%} masks of {DRAWS} disjointly seeded draws of",
        f"mini-batches, mean over pairs, of the network where it is least; `{DATASET}`, initial",
        f"weights, mini-batches of 256. Chance is {0.05 / 1.95:.3f}. In brackets: the cost in",
        "dense gradient steps of the algorithm at its own batch size, one thread. Made by",
        "`python benchmarks/scoring_stability.py`.",
        "",
        f"| algorithm | saliency | {' | '.join(f'{n} batches' for n in COUNTS)} |",
        "|---|---|" + "---|" * len(COUNTS),
    ]
    for algo in ALGORITHMS:
        step = step_seconds(build_agent(data, algo).agent, data)
        agent = build_agent(data, algo).agent  # a fresh one: scored before any training
        for method in ("snip", "grasp"):
            cells = []
            for count in COUNTS:
                overlap, seconds = measure(agent, data, method, count)
                cells.append(f"{overlap:.2f} ({seconds / step:.1f})")
            lines.append(f"| {algo} | {method} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    with written_aside(RESULTS) as aside:
        aside.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
