"""Pruning while training against pruning before it, at equal final parameters.

BC and IQL on HalfCheetah: gates, gradual magnitude pruning, SET and RigL beside SNIP, the
dense agent, and a small dense one of as many weights. Every run is a folder of its own: a
study that was stopped goes on where it was, and the table is written anew after every run.
One thread a process.

    python benchmarks/while_training.py --runs runs/while_training

The bundled ``halfcheetah/medium-small-v0`` is the first 39 of the default dataset's 100
episodes; ``--dataset`` takes any other.
"""

from __future__ import annotations

import argparse
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from offline_prune import PruneResult, prune_then_train
from offline_prune.base.atomic import written_aside

RESULTS = Path(__file__).parent / "results" / "while_training.md"
COMMAND = "python benchmarks/while_training.py --runs runs/while_training"
STEPS = {"bc": 10_000, "iql": 10_000}
PARAMS = {"iql": {"actor_learning_rate": 3e-4}}  # d3rlpy\'s, as when these runs were made
SPARSITY, SEEDS = 0.95, (0, 1, 2)
ROWS = ("dense", "small_dense", "snip", "gates", "gmp", "rigl", "set")


@dataclass(frozen=True)
class Run:
    """One cell of the study."""

    dataset: str
    algo: str
    method: str
    seed: int
    folder: Path


def perform(run: Run) -> Run:
    """Train and evaluate one cell, unless its folder says that it is done."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if not (run.folder / "result.json").is_file():
        prune_then_train(
            run.dataset,
            run.algo,
            0.0 if run.method == "dense" else SPARSITY,
            method="snip" if run.method == "dense" else run.method,
            parameterization="standard",
            averaging="none",
            n_steps=STEPS[run.algo],
            algo_params=PARAMS.get(run.algo),
            seed=run.seed,
            evaluate=10,
            output_dir=run.folder,
            progress=False,
        )
    return run


def units(result: PruneResult, role: str) -> list[int]:
    """Units of the hidden layers that still have a weight."""
    left = result.mask.layer_units
    return [left[name][0] for name in result.mask.roles[role][:2]]


def table(dataset: str, runs: list[Run]) -> str:
    """The finished runs as markdown."""
    done = {
        (r.algo, r.method, r.seed): PruneResult.load(r.folder)
        for r in runs
        if (r.folder / "result.json").is_file()
    }
    lines = [
        f"# Pruning while training at {SPARSITY:.0%}",
        "",
        f"Returns on `{dataset}`, mean ± standard deviation over seeds (number of seeds in",
        "brackets), 10 evaluation episodes each, the last weights; the recipes' hyperparameters",
        "(two hidden layers of 256, standardised observations), "
        + ", ".join(f"{algo} {steps:,} steps" for algo, steps in STEPS.items())
        + ", the same",
        "number for all. Weights: prunable ones left, of all networks. Units: of the actor's two",
        f"hidden layers, mean over seeds. Made by `{COMMAND} --dataset {dataset}`.",
    ]
    for algo in STEPS:
        lines += [
            "",
            f"| {algo} | return | weights | units |",
            "|---|---|---|---|",
        ]
        for method in ROWS:
            found = [done[algo, method, s] for s in SEEDS if (algo, method, s) in done]
            returns = [r.evaluation.mean_return for r in found]
            values = [float(value) for value in returns if value is not None]
            if not values:
                continue
            weights = f"{np.mean([r.mask.n_kept for r in found]):,.0f}"
            widths = np.mean([units(r, "actor") for r in found], axis=0)
            lines.append(
                f"| {method} | {np.mean(values):.0f} ± {np.std(values):.0f} ({len(values)})"
                f" | {weights} | {', '.join(f'{w:.0f}' for w in widths)} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="prune/halfcheetah/medium-v0")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    runs = [
        Run(arguments.dataset, algo, method, seed, arguments.runs / f"{algo}-{method}-{seed}")
        for algo in STEPS
        for seed in SEEDS
        for method in ROWS
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(perform, run) for run in runs]):
            run = future.result()
            result = PruneResult.load(run.folder)
            print(run.algo, run.method, run.seed, result.evaluation, flush=True)
            with written_aside(RESULTS) as aside:
                aside.write_text(table(arguments.dataset, runs))


if __name__ == "__main__":
    main()
