"""What a gradient step costs: stock d3rlpy, our dense agent, and agents pruned without a word.

    OMP_NUM_THREADS=1 python benchmarks/retention_seconds.py [DATASET ...]

writes ``benchmarks/retention/seconds.json``, of which ``benchmarks/retention/table.py`` tells
how many dense steps fit into the time of a pruned run. On a quiet machine: rounds in turn,
medians, one thread; the recipes, on what the package brings of the study's data. With datasets
named only they are measured, and what is known of the others stays.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from training_speed import CONTINUOUS, DATASET, SPARSITIES, in_turn, training

from offline_prune import load_dataset, prune
from offline_prune.agents import build_agent
from offline_prune.base.atomic import written_aside

RESULT = Path(__file__).parent / "retention" / "seconds.json"


ALGOS = {
    DATASET: CONTINUOUS,
    "pendulum/mixture-v0": ("bc", "iql", "bcq", "cql"),
    "cartpole/mixture-v0": ("bc", "cql"),
}
"""Dataset → the algorithms that the study trains there."""


def measure(dataset: str, algo: str) -> dict[str, float]:
    """Name → median milliseconds a step, every contender in turn."""
    data = load_dataset(dataset)
    stock = build_agent(data, algo).agent.algo
    stock_buffer = ReplayBuffer(InfiniteBuffer(), episodes=data.buffer.episodes)
    contenders = {"stock": training(stock, stock_buffer, "cpu")}
    for sparsity in SPARSITIES:
        agent, _ = prune(data, algo, sparsity, n_steps=20_000)
        contenders[f"{sparsity:g}"] = training(agent.algo, data.buffer, "cpu")
    return {name: round(found, 4) for name, found in in_turn(contenders).items()}


def processor() -> str:
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    vectors = torch.backends.cpu.get_cpu_capability()
    return f"{model}, {vectors}, {os.cpu_count()} cores, torch {torch.__version__}"


def main() -> None:
    """Measure and write the file."""
    torch.set_num_threads(1)
    named = sys.argv[1:]
    known: dict[str, dict[str, dict[str, float]]] = {}
    if named:
        before = json.loads(RESULT.read_text())
        if before["processor"] != processor():
            sys.exit(f"The other datasets were measured on {before['processor']}: measure all.")
        known = before["milliseconds"]
    measured = {
        dataset: {algo: measure(dataset, algo) for algo in ALGOS[dataset]}
        for dataset in named or ALGOS
    }
    found = {"processor": processor(), "milliseconds": known | measured}
    with written_aside(RESULT) as aside:
        aside.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
