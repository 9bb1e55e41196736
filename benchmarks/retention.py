"""How much of its dense return does a SNIP-pruned agent keep?

Every run is a folder of its own: a study that was stopped goes on where it was, and the
table is written anew after every run. One thread a process.

    python benchmarks/retention.py --runs runs/retention

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

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch

from offline_prune import PruneResult, prune_then_train
from offline_prune.atomic import written_aside

matplotlib.use("Agg")

RESULTS = Path(__file__).parent / "results" / "retention.md"
COMMAND = "python benchmarks/retention.py --runs runs/retention"

# Gradient steps by what about two hours on a core allow.
STEPS = {"bc": 20_000, "iql": 20_000, "cql": 3_000, "bcq": 2_000}
SEEDS = (0, 1, 2)
SPARSITIES = (0.0, 0.95)


@dataclass(frozen=True)
class Run:
    """One cell of the study."""

    dataset: str
    algo: str
    sparsity: float
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
            run.sparsity,
            method="snip",
            n_steps=STEPS[run.algo],
            seed=run.seed,
            evaluate=10,
            output_dir=run.folder,
            progress=False,
        )
    return run


Finished = dict[tuple[str, float, int], PruneResult]


def finished(runs: list[Run]) -> Finished:
    """The runs whose folder is whole."""
    return {
        (r.algo, r.sparsity, r.seed): PruneResult.load(r.folder)
        for r in runs
        if (r.folder / "result.json").is_file()
    }


def mean_return(result: PruneResult) -> float:
    """The mean return, which every run of this study has."""
    if result.evaluation.mean_return is None:
        raise RuntimeError(str(result.evaluation))
    return result.evaluation.mean_return


def draw(dataset: str, done: Finished) -> None:
    """Mean returns as bars, seeds as dots."""
    algos = [a for a in STEPS if all((a, p, s) in done for p in SPARSITIES for s in SEEDS)]
    figure, axes = plt.subplots(figsize=(6, 3))
    for k, sparsity in enumerate(SPARSITIES):
        for i, algo in enumerate(algos):
            returns = [mean_return(done[algo, sparsity, s]) for s in SEEDS]
            x = i + (k - 0.5) * 0.38
            label = None if i else ("dense" if sparsity == 0 else f"SNIP, {sparsity:.0%} pruned")
            axes.bar(x, np.mean(returns), 0.36, color=f"C{k}", alpha=0.5, label=label)
            axes.scatter([x] * len(SEEDS), returns, color=f"C{k}", s=12, zorder=2)
    names = [f"{algo.upper()}\n{STEPS[algo]:,} steps" for algo in algos]
    axes.set_xticks(range(len(algos)), names)
    axes.set_ylabel("return")
    axes.set_title(f"{dataset}, {len(SEEDS)} seeds", fontsize=10, pad=24)
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    with written_aside(RESULTS.with_suffix(".png")) as aside:
        figure.savefig(aside, dpi=150, format="png")
    plt.close(figure)


def table(dataset: str, done: Finished) -> str:
    """The finished runs as markdown."""
    lines = [
        f"# Return kept at {SPARSITIES[1]:.0%} sparsity",
        "",
        f"Dataset `{dataset}`, SNIP on the initial weights, 8 mini-batches of 256, global",
        "threshold per network, the recipes' hyperparameters (two hidden layers of 256,",
        "standardised observations), the same number of gradient steps for dense and pruned,",
        "the last weights, 10 evaluation episodes a seed. ± is the standard deviation over",
        f"seeds. Made by `{COMMAND} --dataset {dataset}`.",
        "",
        "The normalized score is 0 for a random policy and 1 for the dataset's reference expert.",
        "",
        "| algorithm | steps | seeds | dense return | pruned return | kept | dense score"
        " | pruned score | effective sparsity |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for algo, steps in STEPS.items():
        seeds = [s for s in SEEDS if all((algo, p, s) in done for p in SPARSITIES)]
        if not seeds:
            continue
        dense, pruned = ([done[algo, p, s] for s in seeds] for p in SPARSITIES)
        a, b = (np.array([mean_return(r) for r in rs]) for rs in (dense, pruned))
        scores = [np.mean([r.evaluation.normalized_score for r in rs]) for rs in (dense, pruned)]
        lines.append(
            f"| {algo} | {steps:,} | {', '.join(map(str, seeds))} | {a.mean():.0f} ± {a.std():.0f}"
            f" | {b.mean():.0f} ± {b.std():.0f} | {b.mean() / a.mean():.1%}"
            f" | {scores[0]:.2f} | {scores[1]:.2f}"
            f" | {np.mean([r.mask.effective_sparsity for r in pruned]):.1%} |"
        )
    lines += ["", "Returns of each seed (dense / pruned):", ""]
    for algo in STEPS:
        pairs = [
            " / ".join(f"{mean_return(done[algo, p, s]):.0f}" for p in SPARSITIES)
            for s in SEEDS
            if all((algo, p, s) in done for p in SPARSITIES)
        ]
        if pairs:
            lines.append(f"- {algo}: {', '.join(pairs)}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="prune/halfcheetah/medium-v0")
    parser.add_argument("--algos", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    everything = [
        Run(arguments.dataset, algo, sparsity, seed, arguments.runs / f"{algo}-{sparsity}-{seed}")
        for algo in STEPS
        for seed in SEEDS
        for sparsity in SPARSITIES
    ]
    runs = [run for run in everything if run.algo in arguments.algos]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(perform, run) for run in runs]):
            run = future.result()
            result = PruneResult.load(run.folder)
            print(run.algo, run.sparsity, run.seed, result.evaluation, flush=True)
            with written_aside(RESULTS) as aside:
                aside.write_text(table(arguments.dataset, finished(everything)))
            draw(arguments.dataset, finished(everything))


if __name__ == "__main__":
    main()
