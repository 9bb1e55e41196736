"""Peak memory of scoring and training, dense and pruned, each in a process of its own.

python benchmarks/memory.py
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np
import torch
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from processes import in_a_process
from training_speed import CONTINUOUS, DATASET, config_of, training

from offline_prune import load_dataset, prune
from offline_prune.base.atomic import written_aside
from offline_prune.engines.sparse_mlp import SparseMLP
from offline_prune.engines.wiring import relu_layers

RESULTS = Path(__file__).parent / "results" / "memory.md"
STEPS, WIDTHS = 10, (256, 1024)
CONTENDERS = ("stock", "0.0", "0.95")


def resident() -> float:
    """Resident size of this process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def load_kernels() -> float:
    """Load numba and the sparse kernels; return what that takes, in MiB."""
    before = resident()
    mask = torch.ones(1, 1, dtype=torch.bool)
    SparseMLP(relu_layers([mask]), torch.zeros(2))(torch.zeros(1, 1)).sum().backward()
    return resident() - before


def run(algo: str, width: int, contender: str) -> tuple[float, float]:
    """Score and train a few steps in this process.

    Returns:
        Peak resident size above that of the imports and the data, and what numba takes,
        in MiB.
    """
    torch.set_num_threads(1)
    data, config = load_dataset(DATASET), config_of(algo, width)
    numba = load_kernels() if contender == "0.95" else 0.0
    before = resident()
    if contender == "stock":
        buffer = ReplayBuffer(InfiniteBuffer(), episodes=data.buffer.episodes)
        trained = config.create(device="cpu:0")
        trained.build_with_dataset(buffer)
        training(trained, buffer, "cpu")(STEPS)
    else:
        agent, _ = prune(data, config, float(contender))
        training(agent.algo, data.buffer, "cpu")(STEPS)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before, numba


def main() -> None:
    """Measure and write the table."""
    if len(sys.argv) == 4:
        print(json.dumps(run(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
        return
    rows, numba = [], []
    for width in WIDTHS:
        for algo in CONTINUOUS:
            cells = []
            for contender in CONTENDERS:
                peak, kernels = in_a_process(__file__, algo, width, contender)
                cells.append(f"{peak:.0f}")
                numba += [kernels] if kernels else []
            rows.append(f"| {algo} | {width}-{width} | {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    lines = [
        "# Peak memory",
        "",
        "Peak resident size, MiB above what imports and data take, of a process that scores with",
        f"SNIP (not stock) and trains {STEPS} steps; `{DATASET}`, batch 256, one thread.",
        "At 95 % numba is loaded for the sparse kernels before the count begins, most of it the",
        f"compiler: {np.median(numba):.0f} MiB more, whatever the size of the networks.",
        "Made by `python benchmarks/memory.py`.",
        "",
        "| algorithm | hidden layers | stock d3rlpy | dense | 95 % |",
        "|---|---|---|---|---|",
        *rows,
    ]
    with written_aside(RESULTS) as aside:
        aside.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
