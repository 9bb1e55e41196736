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
from dataclasses import dataclass
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
ENVIRONMENT, N_STEPS, EVERY, EPISODES = "Pendulum-v1", 6_000, 1_000, 20
SPARSITY, SEEDS = 0.8, (0, 1, 2)
LAYERS, UNITS, HIDDEN = 4, 30, 64
# The small one: about as many weights as the gates leave, feature columns that nobody fills
# any more not counted.
SMALL_UNITS, SMALL_HIDDEN = 12, 22
ROWS = {
    "unpruned": (0.0, UNITS, HIDDEN),
    "gates": (SPARSITY, UNITS, HIDDEN),
    "small from scratch": (0.0, SMALL_UNITS, SMALL_HIDDEN),
}


@dataclass(frozen=True)
class Run:
    """One cell of the study."""

    row: str
    seed: int
    file: Path


def perform(run: Run) -> Run:
    """Train and evaluate one cell, unless its file says that it is done."""
    torch.set_num_threads(1)
    if run.file.is_file():
        return run
    sparsity, units, hidden = ROWS[run.row]
    factory = OFENetEncoderFactory(n_layers=LAYERS, units=units, hidden_units=[hidden, hidden])
    config = SACConfig(
        actor_encoder_factory=factory,
        critic_encoder_factory=factory,
        batch_size=128,
        actor_learning_rate=1e-3,
        critic_learning_rate=1e-3,
        temp_learning_rate=1e-3,
        action_scaler=MinMaxActionScaler(),
    )
    environment, evaluation = gymnasium.make(ENVIRONMENT), gymnasium.make(ENVIRONMENT)
    buffer = create_fifo_replay_buffer(N_STEPS, env=environment)
    d3rlpy.seed(run.seed)
    environment.reset(seed=run.seed)
    environment.action_space.seed(run.seed)
    evaluation.reset(seed=1_000 + run.seed)
    agent, _ = prune_online(
        environment,
        config,
        sparsity,
        n_steps=N_STEPS,
        method="gates",
        buffer=buffer,
        seed=run.seed,
    )
    curve: list[tuple[int, float]] = []

    def after_step(algo: Any, epoch: int, step: int) -> None:
        agent.callback(algo, epoch, step)
        if step % EVERY == 0:
            score = evaluate_qlearning_with_environment(algo, evaluation, EPISODES)
            curve.append((step, float(score)))

    agent.algo.fit_online(
        environment,
        buffer,
        n_steps=N_STEPS,
        n_steps_per_epoch=EVERY,
        random_steps=500,
        update_start_step=500,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=after_step,
    )
    mask = agent.finish()
    run.file.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(run.file) as aside:
        content = {
            "curve": curve,
            "final": float(evaluate_qlearning_with_environment(agent.algo, evaluation, 100)),
            "weights": {role: mask[role].n_kept for role in mask},
        }
        aside.write_text(json.dumps(content, indent=2) + "\n")
    return run


def table(runs: list[Run]) -> str:
    """The finished runs as markdown."""
    done = {(r.row, r.seed): json.loads(r.file.read_text()) for r in runs if r.file.is_file()}
    lines = [
        "# SAC on OFENet features with gates, online",
        "",
        f"`{ENVIRONMENT}`, {N_STEPS:,} environment steps, a gradient step and an auxiliary step",
        f"each; {LAYERS} layers of {UNITS} units a branch, two hidden layers of {HIDDEN} on top.",
        f"`gates` at {SPARSITY:.0%} of every network, from 20 to 80 % of the run; the small one",
        f"has {SMALL_UNITS} units a layer and {SMALL_HIDDEN} hidden ones. Returns: mean of"
        f" {EPISODES} episodes",
        "on the way, of 100 at the end; mean ± standard deviation over seeds (number of seeds in",
        f"brackets). Made by `{COMMAND}`.",
        "",
    ]
    marks = [EVERY, 2 * EVERY, 3 * EVERY, 4 * EVERY, 5 * EVERY]
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
