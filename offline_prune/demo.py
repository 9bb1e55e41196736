"""The demo: four algorithms, dense and pruned, on an embedded dataset, in one table."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from offline_prune.atomic import written_aside
from offline_prune.data import load_dataset
from offline_prune.pipeline import prune_then_train
from offline_prune.progress import ProgressBar

__all__ = ["ALGORITHMS", "demo_table", "run_demo"]

ALGORITHMS = ("bc", "bcq", "cql", "iql")


def _run(job: tuple[str, str, float, int]) -> dict[str, Any]:
    """One cell of the table, in a process of its own."""
    torch.set_num_threads(1)
    dataset, algo, sparsity, seed = job
    result = prune_then_train(dataset, algo, sparsity, seed=seed, evaluate=20, progress=False)
    return result.to_dict()


def run_demo(
    dataset: str = "pendulum/mixture-v0",
    sparsity: float = 0.95,
    *,
    seed: int = 0,
    workers: int = 2,
    out: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Train BC, BCQ, CQL and IQL dense and SNIP-pruned, and print one table.

    Args:
        dataset: Id of a dataset with continuous actions.
        sparsity: Fraction of every network's prunable weights to remove.
        seed: Of every run.
        workers: Processes side by side, one thread each.
        out: A JSON file for the numbers behind the table.

    Returns:
        :meth:`PruneResult.to_dict` of every run, dense and pruned in turn.
    """
    console = Console()
    data = load_dataset(dataset)  # made once, before the workers need it
    metadata = data.metadata
    score = metadata.normalized_score(metadata.mean_return)
    tail = "" if score is None else f" (normalized score {score:.2f})"
    console.print(
        f"{dataset}: {metadata.steps:,} steps, mean return {metadata.mean_return:.0f}{tail}"
    )
    # The slowest algorithms first, so that no worker ends up alone with one.
    slow_first = sorted(ALGORITHMS, key=["bcq", "cql", "iql", "bc"].index)
    jobs = [(dataset, algo, s, seed) for algo in slow_first for s in (0.0, sparsity)]
    found: dict[tuple[str, float], dict[str, Any]] = {}
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, mp_context=context) as pool,
        ProgressBar("Training", len(jobs), "runs") as bar,
    ):
        for job, result in zip(jobs, pool.map(_run, jobs), strict=True):
            found[job[1], job[2]] = result
            bar.advance()
    results = [found[algo, s] for algo in ALGORITHMS for s in (0.0, sparsity)]
    console.print(demo_table(results))
    if out is not None:
        with written_aside(out) as aside:
            aside.write_text(json.dumps(results, indent=2) + "\n")
    return results


def demo_table(results: list[dict[str, Any]]) -> Table:
    """The runs as one table of 80 columns, a dense and a pruned run a row.

    Args:
        results: :meth:`PruneResult.to_dict` of runs, dense and pruned in turn.

    Returns:
        A rich table.
    """
    steps = ", ".join(f"{dense['algo']} {dense['n_steps']:,}" for dense in results[::2])
    table = Table(
        title=f"Dense and {results[1]['sparsity']:.0%} pruned ({results[1]['method']})"
        f" on {results[0]['dataset']}",
        caption=f"gradient steps: {steps}; seed {results[0]['seed']},"
        f" {len(results[0]['returns'])} evaluation episodes, normalized score in brackets",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("algo", no_wrap=True)
    for heading in (
        "return\ndense",
        "return\npruned",
        "kept\nweights",
        "effective\nsparsity",
        "steps a\nsecond",
        "scoring\nseconds",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for dense, pruned in zip(results[::2], results[1::2], strict=True):
        table.add_row(
            dense["algo"],
            _return(dense),
            _return(pruned),
            f"{pruned['weights_kept']:,}",
            f"{pruned['effective_sparsity']:.1%}",
            f"{dense['steps_per_second']:.0f} / {pruned['steps_per_second']:.0f}",
            f"{pruned['scoring_seconds']:.2f}",
        )
    return table


def _return(result: dict[str, Any]) -> str:
    """Mean ± standard deviation (normalized score), as far as there are any."""
    if result["mean_return"] is None:
        return "not evaluated"
    score = result["normalized_score"]
    tail = "" if score is None else f" ({score:.2f})"
    return f"{result['mean_return']:.0f} ± {result['std_return']:.0f}{tail}"
