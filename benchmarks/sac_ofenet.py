"""SAC on OFENet features, gated while it learns online, against the unpruned and a small one.

Pendulum, a few thousand environment steps. Every run is a file of its own: a study that was
stopped goes on where it was, and the table is written anew after every run.

    python benchmarks/sac_ofenet.py --runs runs/sac_ofenet
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import d3rlpy
import gymnasium
import numpy as np
import torch
from d3rlpy.algos import SACConfig
from d3rlpy.dataset import create_fifo_replay_buffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.metrics import evaluate_qlearning_with_environment
from d3rlpy.preprocessing import MinMaxActionScaler

from offline_prune import prune_online
from offline_prune.base.atomic import written_aside
from offline_prune.ofenet import OFENetEncoderFactory

RESULTS = Path(__file__).parent / "results" / "sac_ofenet.md"
COMMAND = "python benchmarks/sac_ofenet.py --runs runs/sac_ofenet"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Size:
    """Of an agent: its OFENet, what reads it, and what is taken away while it learns."""

    layers: int
    units: int
    hidden: int
    sparsity: float = 0.0


@dataclass(frozen=True)
class Task:
    """What is learned, and how."""

    environment: str
    n_steps: int
    every: int  # steps between two evaluations
    episodes: int  # of such an evaluation
    last_episodes: int
    random_steps: int
    learning_rate: float


PENDULUM = Task("Pendulum-v1", 6_000, 1_000, 20, 100, random_steps=500, learning_rate=1e-3)
UNPRUNED = Size(4, 30, 64)
# The small one: about as many weights as the gates leave, feature columns that nobody fills
# any more not counted.
SMALL = Size(4, 12, 22)
ROWS = {
    "unpruned": UNPRUNED,
    "gates": replace(UNPRUNED, sparsity=0.8),
    "small from scratch": SMALL,
}


def learn(task: Task, size: Size, seed: int) -> dict[str, Any]:
    """Train one agent, evaluate it on the way and at the end."""
    torch.set_num_threads(1)
    factory = OFENetEncoderFactory(
        n_layers=size.layers, units=size.units, hidden_units=[size.hidden, size.hidden]
    )
    config = SACConfig(
        actor_encoder_factory=factory,
        critic_encoder_factory=factory,
        batch_size=128,
        actor_learning_rate=task.learning_rate,
        critic_learning_rate=task.learning_rate,
        temp_learning_rate=task.learning_rate,
        action_scaler=MinMaxActionScaler(),
    )
    environment, evaluation = gymnasium.make(task.environment), gymnasium.make(task.environment)
    buffer = create_fifo_replay_buffer(task.n_steps, env=environment)
    d3rlpy.seed(seed)
    environment.reset(seed=seed)
    environment.action_space.seed(seed)
    evaluation.reset(seed=1_000 + seed)
    agent, _ = prune_online(
        environment,
        config,
        size.sparsity,
        n_steps=task.n_steps,
        method="gates",
        buffer=buffer,
        seed=seed,
    )
    curve: list[tuple[int, float]] = []

    def after_step(algo: Any, epoch: int, step: int) -> None:
        agent.callback(algo, epoch, step)
        if step % task.every == 0:
            score = evaluate_qlearning_with_environment(algo, evaluation, task.episodes)
            curve.append((step, float(score)))

    agent.algo.fit_online(
        environment,
        buffer,
        n_steps=task.n_steps,
        n_steps_per_epoch=task.every,
        random_steps=task.random_steps,
        update_start_step=task.random_steps,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=after_step,
    )
    mask = agent.finish()
    return {
        "curve": curve,
        "final": float(
            evaluate_qlearning_with_environment(agent.algo, evaluation, task.last_episodes)
        ),
        "weights": {role: mask[role].n_kept for role in mask},
    }


@dataclass(frozen=True)
class Run:
    """One cell of the study."""

    row: str
    seed: int
    file: Path


def perform(run: Run) -> Run:
    """Train and evaluate one cell, unless its file says that it is done."""
    if run.file.is_file():
        return run
    content = learn(PENDULUM, ROWS[run.row], run.seed)
    run.file.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(run.file) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n")
    return run


def table(runs: list[Run]) -> str:
    """The finished runs as markdown."""
    done = {(r.row, r.seed): json.loads(r.file.read_text()) for r in runs if r.file.is_file()}
    task, large, small = PENDULUM, UNPRUNED, SMALL
    lines = [
        "# SAC on OFENet features with gates, online",
        "",
        f"`{task.environment}`, {task.n_steps:,} environment steps, a gradient step and an"
        " auxiliary step",
        f"each; {large.layers} layers of {large.units} units a branch, two hidden layers of"
        f" {large.hidden} on top.",
        f"`gates` at {ROWS['gates'].sparsity:.0%} of every network, from 20 to 80 % of the run;"
        " the small one",
        f"has {small.units} units a layer and {small.hidden} hidden ones. Returns: mean of"
        f" {task.episodes} episodes",
        f"on the way, of {task.last_episodes} at the end; mean ± standard deviation over seeds"
        " (number of seeds in",
        f"brackets). Made by `{COMMAND}`.",
        "",
    ]
    marks = [task.every * i for i in range(1, 6)]
    lines.append("| | weights | " + " | ".join(f"{m:,}" for m in marks) + " | end |")
    lines.append("|---|---|" + "---|" * len(marks) + "---|")
    for row in ROWS:
        found = [done[row, seed] for seed in SEEDS if (row, seed) in done]
        if not found:
            continue
        weights = np.mean([sum(r["weights"].values()) for r in found])
        on_the_way = [np.mean([dict(map(tuple, r["curve"]))[m] for r in found]) for m in marks]
        final = [r["final"] for r in found]
        cells = [f"{weights:,.0f}", *(f"{value:.0f}" for value in on_the_way)]
        cells.append(f"{np.mean(final):.0f} ± {np.std(final):.0f} ({len(found)})")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    runs = [
        Run(row, seed, arguments.runs / f"{row.replace(' ', '-')}-{seed}.json")
        for seed in SEEDS
        for row in ROWS
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(perform, run) for run in runs]):
            run = future.result()
            print(run.row, run.seed, json.loads(run.file.read_text())["final"], flush=True)
            with written_aside(RESULTS) as aside:
                aside.write_text(table(runs))


if __name__ == "__main__":
    main()
