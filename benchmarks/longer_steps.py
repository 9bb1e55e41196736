"""What do longer steps and averaged weights cost?

    python benchmarks/longer_steps.py

Pruned agents (SNIP, 95 %, 256-256) train with and without, in turn, one thread; the median
of the ratios of neighbouring rounds.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import torch

from offline_prune import load_dataset, prune_then_train
from offline_prune.base.atomic import written_aside

RESULTS = Path(__file__).parent / "results" / "longer_steps.md"
DATASET = "halfcheetah/medium-small-v0"
STEPS = {"bc": 2_000, "iql": 1_000, "td3_plus_bc": 1_000}
ROUNDS = 7


def seconds(algo: str, parameterization: str, averaging: str) -> float:
    """Training time of one run."""
    result = prune_then_train(
        load_dataset(DATASET),
        algo,
        0.95,
        n_steps=STEPS[algo],
        n_batches=1,
        parameterization=parameterization,
        averaging=averaging,
        evaluate=0,
        progress=False,
    )
    return result.training_seconds


def main() -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    lines = [
        "# What longer steps and averaged weights cost",
        "",
        f"`{DATASET}`, SNIP at 95 %, 256-256 networks, one thread, {ROUNDS} rounds in turn: median"
        " ratio of training time to that of the same round without either. Averages over the"
        " whole run, four times what the default takes. Made by"
        " `python benchmarks/longer_steps.py`.",
        "",
        "| algorithm | longer steps | and averaged weights |",
        "|---|---|---|",
    ]
    for algo in STEPS:
        seconds(algo, "standard", "none")  # compiles kernels
        ratios: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            plain = seconds(algo, "standard", "none")
            longer = seconds(algo, "sparse", "none")
            both = seconds(algo, "sparse", "tail(1)")
            ratios.append((longer / plain, both / plain))
        first, second = (statistics.median(column) for column in zip(*ratios, strict=True))
        lines.append(f"| {algo} | {first:.2f} | {second:.2f} |")
        print(lines[-1], flush=True)
    with written_aside(RESULTS) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
