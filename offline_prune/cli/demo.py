"""The demo: four algorithms, dense and pruned, on an embedded dataset, in one table."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from offline_prune.base.arguments import whole_number
from offline_prune.base.atomic import written_aside
from offline_prune.base.progress import ProgressBar
from offline_prune.cli.one_thread import one_thread

__all__ = ["ALGORITHMS", "command", "demo_table"]

ALGORITHMS = ("bc", "bcq", "cql", "iql")


def _run(job: tuple[str, str, float, int]) -> dict[str, Any]:
    """One cell of the table, in a process of its own."""
    from offline_prune.run.pipeline import prune_then_train

    one_thread()
    dataset, algo, sparsity, seed = job
    result = prune_then_train(dataset, algo, sparsity, seed=seed, evaluate=20, progress=False)
    return result.to_dict()


def command(
    sparsity: Annotated[float, typer.Option(help="Fraction to remove.")] = 0.95,
    dataset: Annotated[str, typer.Option(help="Dataset id.")] = "pendulum/mixture-v0",
    seeds: Annotated[int, typer.Option(help="Runs of each.")] = 3,
    workers: Annotated[int, typer.Option(help="Processes side by side.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers here.")] = None,
) -> None:
    """Train BC, BCQ, CQL and IQL, dense and pruned, and print one table."""
    from offline_prune.data import load_dataset

    seeds = whole_number("seeds", seeds, 1)
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
    jobs = [
        (dataset, algo, s, seed)
        for algo in slow_first
        for s in (0.0, sparsity)
        for seed in range(seeds)
    ]
    results = []
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, mp_context=context) as pool,
        ProgressBar("Training", len(jobs), "runs") as bar,
    ):
        for result in pool.map(_run, jobs):
            results.append(result)
            bar.advance()
    console.print(demo_table(results))
    if out is not None:
        with written_aside(out) as aside:
            aside.write_text(json.dumps(results, indent=2) + "\n")


def demo_table(results: list[dict[str, Any]]) -> Table:
    """The runs as one table of 80 columns, an algorithm a row.

    Args:
        results: :meth:`PruneResult.to_dict` of runs, as many dense as pruned ones of each
            of :data:`ALGORITHMS`.

    Returns:
        A rich table; ± is the standard deviation over the runs' mean returns.
    """
    runs: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for result in results:
        runs.setdefault((result["algo"], result["sparsity"] > 0), []).append(result)
    pairs = {algo: (runs[algo, False], runs[algo, True]) for algo in ALGORITHMS}
    steps = ", ".join(f"{algo} {dense[0]['n_steps']:,}" for algo, (dense, _) in pairs.items())
    methods = ", ".join(f"{algo} {pruned[0]['method']}" for algo, (_, pruned) in pairs.items())
    example = pairs["bc"][1][0]
    seeds = len(pairs["bc"][1])
    table = Table(
        title=f"Dense and {example['sparsity']:.0%} pruned on {example['dataset']}",
        caption=f"pruned by: {methods}; gradient steps: {steps}; mean ± deviation of {seeds}"
        f" seed{'s' if seeds > 1 else ''} of {len(example['evaluation_seeds'])} episodes,"
        " normalized score in brackets",
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
    for algo, (dense, pruned) in pairs.items():
        table.add_row(
            algo,
            _return(dense),
            _return(pruned),
            f"{pruned[0]['weights_kept']:,}",
            f"{_mean(pruned, 'effective_sparsity'):.1%}",
            f"{_mean(dense, 'steps_per_second'):.0f} / {_mean(pruned, 'steps_per_second'):.0f}",
            f"{_mean(pruned, 'scoring_seconds'):.2f}",
        )
    return table


def _mean(runs: list[dict[str, Any]], name: str) -> float:
    return float(np.mean([run[name] for run in runs]))


def _return(runs: list[dict[str, Any]]) -> str:
    """Mean ± standard deviation over runs (normalized score), as far as there are any."""
    if any(run["mean_return"] is None for run in runs):
        return "not evaluated"
    deviation = float(np.std([run["mean_return"] for run in runs]))
    scores = [run["normalized_score"] for run in runs]
    tail = "" if None in scores else f" ({np.mean(scores):.2f})"
    return f"{_mean(runs, 'mean_return'):.0f} ± {deviation:.0f}{tail}"
