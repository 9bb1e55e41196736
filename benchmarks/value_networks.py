"""Do value networks on pixels gain from gradual magnitude pruning, offline?

Discrete CQL on MinAtar Breakout with IMPALA encoders of width 1 and 3, dense and pruned by
``gmp`` to 90, 95 and 99 %. Every run is a folder of its own: a study that was stopped goes
on where it was, and table and curves are made anew after every run. One thread a process.

    python benchmarks/value_networks.py --runs runs/value_networks
"""

from __future__ import annotations

import argparse
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch

from offline_prune import Dataset, PruneResult, evaluate, load_dataset, prune_then_train
from offline_prune.base.atomic import written_aside

matplotlib.use("Agg")

RESULTS = Path(__file__).parent / "results" / "value_networks.md"
COMMAND = "python benchmarks/value_networks.py --runs runs/value_networks"
DATASET = "minatar/breakout-v0"
WIDTHS, SPARSITIES, SEEDS = (1, 3), (0.0, 0.9, 0.95, 0.99), (0, 1, 2)
N_STEPS = 6_000
# The paper's setting is for long runs; this one lets dense networks learn in a short one.
PARAMS = {"learning_rate": 2.5e-4, "target_update_interval": 500, "alpha": 1.0}
EPOCH, CURVE_EPISODES, FINAL_EPISODES = 1_000, 10, 50
WINDOW = 3
"""Epochs at the end whose returns are averaged, beside the final evaluation."""


@dataclass(frozen=True)
class Run:
    """One cell of the study."""

    width: int
    sparsity: float
    seed: int
    folder: Path


Finished = dict[tuple[int, float, int], PruneResult]


def perform(run: Run) -> Run:
    """Train and evaluate one cell, unless its folder says that it is done."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if (run.folder / "result.json").is_file():
        return run
    data: Dataset = load_dataset(DATASET)

    def current_return(algo: Any, _: Any) -> float | None:
        return evaluate(algo, data.metadata, CURVE_EPISODES, seed=10_000).mean_return

    prune_then_train(
        data,
        "cql",
        run.sparsity,
        method="gmp",
        n_steps=N_STEPS,
        seed=run.seed,
        evaluate=FINAL_EPISODES,
        algo_params={"encoder_width": run.width, "encoder": "impala", **PARAMS},
        diagnostics=True,
        evaluators={"return": current_return},
        n_steps_per_epoch=EPOCH,
        output_dir=run.folder,
        progress=False,
    )
    return run


def final(result: PruneResult, name: str = "return") -> float:
    """Mean of a column of the history over the last epochs."""
    return float(np.mean([row[name] for row in result.history[-WINDOW:]]))


def spread(values: list[float], digits: int = 1) -> str:
    """``mean ± standard deviation``."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


def label(sparsity: float) -> str:
    """How a row is called."""
    return f"gmp {sparsity:.0%}" if sparsity else "dense"


def table(done: Finished) -> str:
    """The finished runs as markdown."""
    lines = [
        "# Gradual magnitude pruning of value networks on pixels",
        "",
        f"Discrete CQL on `{DATASET}`, {N_STEPS:,} gradient steps of 32 transitions, IMPALA",
        "encoders of width 1 and 3; `gmp` with Erdős–Rényi-kernel densities from 20 to 80 % of",
        "the run. Hyperparameters: "
        + ", ".join(f"{name} {value:g}" for name, value in PARAMS.items())
        + ", and the rest the recipe's",
        "(the paper's, learning rate 5e-5, alpha 0.1 and target updates every 2 000 steps, learn",
        "next to nothing in a run of this length). Returns: the last weights over"
        f" {FINAL_EPISODES} episodes, and the",
        f"mean of the last {WINDOW} epochs of {EPOCH:,} steps over {CURVE_EPISODES} episodes"
        " each; mean ± standard deviation",
        "over seeds (number of seeds in brackets). The data average 3.6 an episode, their best",
        "part 12.7, random actions 0.4. Diagnostics: means over the last epochs, of the whole",
        f"network on 512 transitions. Made by `{COMMAND}`.",
        "",
        "| width | | return | last epochs | dormant | srank | parameter norm | Q norm"
        " | Q variance |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for width in WIDTHS:
        for sparsity in SPARSITIES:
            found = [
                done[width, sparsity, seed] for seed in SEEDS if (width, sparsity, seed) in done
            ]
            if not found:
                continue
            returns = [r.evaluation.mean_return for r in found]
            cells = [
                f"{spread([v for v in returns if v is not None])} ({len(found)})",
                spread([final(r) for r in found]),
                f"{np.mean([final(r, 'dormant_critic[0]') for r in found]):.0%}",
                spread([final(r, "srank_critic[0]") for r in found], 0),
                spread([final(r, "parameter_norm_critic[0]") for r in found]),
                spread([final(r, "q_norm") for r in found]),
                spread([final(r, "q_variance") for r in found]),
            ]
            lines.append(f"| {width} | {label(sparsity)} | {' | '.join(cells)} |")
    lines += ["", f"![Return over gradient steps]({RESULTS.with_suffix('.png').name})"]
    return "\n".join(lines) + "\n"


def draw(done: Finished) -> None:
    """Return over gradient steps, the mean of the seeds, each seed as a thin line."""
    figure, axes = plt.subplots(1, len(WIDTHS), figsize=(9, 3.4), sharey=True, layout="constrained")
    for plot, width in zip(axes, WIDTHS, strict=True):
        for i, sparsity in enumerate(SPARSITIES):
            curves = [
                ([row["step"] for row in r.history], [row["return"] for row in r.history])
                for seed in SEEDS
                if (r := done.get((width, sparsity, seed))) is not None
            ]
            for steps, returns in curves:
                plot.plot(steps, returns, color=f"C{i}", linewidth=0.5, alpha=0.4)
            if curves:
                mean = np.mean([returns for _, returns in curves], axis=0)
                plot.plot(curves[0][0], mean, color=f"C{i}", label=label(sparsity))
        plot.set_title(f"IMPALA, width {width}", fontsize=10)
        plot.set_xlabel("gradient steps")
        plot.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("return")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center",
        ncols=len(SPARSITIES), frameon=False,
    )  # fmt: skip
    with written_aside(RESULTS.with_suffix(".png")) as aside:
        figure.savefig(aside, dpi=150, format="png")
    plt.close(figure)


def main() -> None:
    """Run what is missing, draw and tabulate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    runs = [
        Run(width, sparsity, seed, arguments.runs / f"{width}-{sparsity}-{seed}")
        for seed in SEEDS
        for sparsity in SPARSITIES
        for width in WIDTHS
    ]
    load_dataset(DATASET)  # made once, before several processes want it
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(perform, run) for run in runs]):
            run = future.result()
            done = {
                (r.width, r.sparsity, r.seed): PruneResult.load(r.folder)
                for r in runs
                if (r.folder / "result.json").is_file()
            }
            result = done[run.width, run.sparsity, run.seed]
            print(run.width, label(run.sparsity), run.seed, result.evaluation, flush=True)
            draw(done)
            with written_aside(RESULTS) as aside:
                aside.write_text(table(done))


if __name__ == "__main__":
    main()
