"""Is a single-shot mask worth more than its controls?

Every run is a folder of its own: a study that was stopped goes on where it was, and the
table is written anew after every run. One thread a process.

    python benchmarks/controls.py --runs runs/controls

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

RESULTS = Path(__file__).parent / "results" / "controls.md"
COMMAND = "python benchmarks/controls.py --runs runs/controls"
STEPS = {"bc": 20_000, "iql": 20_000}
PARAMS = {"iql": {"actor_learning_rate": 3e-4}}  # d3rlpy\'s, as when these runs were made
SPARSITY, SEEDS = 0.95, (0, 1, 2)
# Row → (method, allocation); none of them for the dense agent.
ROWS = {
    "dense": ("snip", "global"),
    "small_dense": ("small_dense", "global"),
    "snip": ("snip", "global"),
    "rescaled(snip)": ("rescaled(snip)", "global"),
    "shuffled(snip)": ("shuffled(snip)", "global"),
    "rescaled(shuffled(snip))": ("rescaled(shuffled(snip))", "global"),
    "reinitialised(snip)": ("reinitialised(snip)", "global"),
    "rescaled(reinitialised(snip))": ("rescaled(reinitialised(snip))", "global"),
    "corrupted(snip, actions)": ("corrupted(snip, actions)", "global"),
    "corrupted(snip, noise)": ("corrupted(snip, noise)", "global"),
    "inverted(snip)": ("inverted(snip)", "global"),
    "random": ("random", "global"),
    "random, erk": ("random", "erk"),
    "rescaled(random), erk": ("rescaled(random)", "erk"),
    "magnitude": ("magnitude", "global"),
    "grasp": ("grasp", "global"),
    "iterative_snip": ("iterative_snip", "global"),
    "force": ("force", "global"),
    "synflow": ("synflow", "global"),
}


@dataclass(frozen=True)
class Run:
    """One cell of the study."""

    dataset: str
    algo: str
    row: str
    seed: int
    folder: Path


def perform(run: Run) -> Run:
    """Train and evaluate one cell, unless its folder says that it is done."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # layers collapse here on purpose
    method, allocation = ROWS[run.row]
    if not (run.folder / "result.json").is_file():
        prune_then_train(
            run.dataset,
            run.algo,
            0.0 if run.row == "dense" else SPARSITY,
            method=method,
            parameterization="standard",
            averaging="none",
            allocation=allocation,
            n_steps=STEPS[run.algo],
            algo_params=PARAMS.get(run.algo),
            seed=run.seed,
            evaluate=10,
            output_dir=run.folder,
            progress=False,
        )
    return run


def table(dataset: str, runs: list[Run]) -> str:
    """The finished runs as markdown."""
    done = {
        (r.algo, r.row, r.seed): PruneResult.load(r.folder)
        for r in runs
        if (r.folder / "result.json").is_file()
    }
    lines = [
        f"# Single-shot masks at {SPARSITY:.0%} and their controls",
        "",
        f"Returns on `{dataset}`, mean ± standard deviation over seeds (number of seeds in",
        "brackets), 10 evaluation episodes each, the last weights; the recipes' hyperparameters",
        "(two hidden layers of 256, standardised observations), "
        + ", ".join(f"{algo} {steps:,} steps" for algo, steps in STEPS.items())
        + ".",
        "Eight scoring mini-batches of 256, a global threshold per network unless the row says",
        "otherwise; ten rounds of iterative SNIP and FORCE, 100 of SynFlow. `rescaled` multiplies",
        "a unit's kept weights by sqrt(fan-in / kept fan-in). Three seeds tell large differences",
        f"apart, not small ones. Made by `{COMMAND} --dataset {dataset}`.",
        "",
        "| | " + " | ".join(f"{algo} | effective sparsity" for algo in STEPS) + " |",
        "|---|" + "---|---|" * len(STEPS),
    ]
    for row in ROWS:
        cells = []
        for algo in STEPS:
            found = [done[algo, row, s] for s in SEEDS if (algo, row, s) in done]
            returns = [r.evaluation.mean_return for r in found]
            values = [float(value) for value in returns if value is not None]
            if not values:
                cells.append("| ")
                continue
            effective = np.mean([r.mask.effective_sparsity for r in found])
            cells.append(
                f"{np.mean(values):.0f} ± {np.std(values):.0f} ({len(values)}) | {effective:.1%}"
            )
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="prune/halfcheetah/medium-v0")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    runs = [
        Run(arguments.dataset, algo, row, seed, arguments.runs / f"{algo}-{i}-{seed}")
        for algo in STEPS
        for seed in SEEDS
        for i, row in enumerate(ROWS)
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(perform, run) for run in runs]):
            run = future.result()
            result = PruneResult.load(run.folder)
            print(run.algo, run.row, run.seed, result.evaluation, flush=True)
            with written_aside(RESULTS) as aside:
                aside.write_text(table(arguments.dataset, runs))


if __name__ == "__main__":
    main()
