"""How often is the sparsity that held-out episodes choose the right one?

For each task agents of several methods, sparsities and seeds are trained, rolled out, and judged
by held-out episodes as ``sparsity="auto"`` judges them without an environment. From that
follows what the rule chooses, and what rollouts say of it.

    python benchmarks/offline_choice.py pendulum cartpole …   # trains; goes on where it was
    python benchmarks/offline_choice_report.py                # writes the table and the figure

One thread a process; an hour a task. Agents lie in ``runs/offline_choice`` (``--state``), what
is known of them in ``results/offline_choice.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from offline_prune import Dataset, PruneResult, load_dataset, prune_then_train
from offline_prune.base.atomic import written_aside
from offline_prune.evaluation.off_policy import disagreement, split_episodes
from offline_prune.run.automatic import LADDER

RESULTS = Path(__file__).parent / "results"
EPISODES, HELD_OUT, FITS = 20, 0.2, 3


@dataclass(frozen=True)
class Task:
    """What agents are trained on, and how.

    Attributes:
        dataset: Id.
        algo: Name of the algorithm.
        n_steps: Gradient steps of an agent.
        ope_steps: Of each fitted Q function.
        seeds: Of training.
        algo_params: Hyperparameters.
        methods: Of pruning; the second is the worse one.
    """

    dataset: str
    algo: str
    n_steps: int
    ope_steps: int
    seeds: int = 2
    algo_params: dict[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = ("snip_flow", "random")


TASKS = {
    "cartpole": Task("cartpole/mixture-v0", "cql", 3000, 3000),
    "pendulum": Task("pendulum/mixture-v0", "iql", 3000, 10_000),
    "halfcheetah": Task("halfcheetah/medium-small-v0", "iql", 10_000, 5000),
}


def agents(task: Task) -> Iterator[tuple[str, float, int]]:
    """Method, sparsity and seed of every agent of a task; dense ones first."""
    for seed in range(task.seeds):
        yield "dense", 0.0, seed
    for sparsity in LADDER:
        for method in task.methods:
            for seed in range(task.seeds):
                yield method, sparsity, seed


def place(state: Path, name: str, method: str, sparsity: float, seed: int) -> Path:
    """Where an agent is."""
    return state / name / f"{method}-{sparsity}-{seed}"


def train(name: str, state: Path) -> None:
    """Train, roll out and judge every agent of a task that is not there yet."""
    task = TASKS[name]
    data = load_dataset(task.dataset)
    for method, sparsity, seed in agents(task):
        folder = place(state, name, method, sparsity, seed)
        if not folder.exists():
            result = prune_then_train(
                data, task.algo, sparsity, method="magnitude" if method == "dense" else method,
                seed=seed, n_steps=task.n_steps, algo_params=task.algo_params,
                evaluate=f"both({EPISODES})", held_out=HELD_OUT, ope_steps=task.ope_steps,
                ope_fits=FITS, progress=False, output_dir=folder,
            )  # fmt: skip
            print(name, method, sparsity, seed, result.evaluation, flush=True)


def collect(state: Path) -> None:
    """Write down what is known of all agents that are there."""
    found = []
    for name, task in TASKS.items():
        ready = [agent for agent in agents(task) if place(state, name, *agent).exists()]
        if not ready:
            continue
        held_out = split_episodes(load_dataset(task.dataset), HELD_OUT, seed=0)[1]
        dense = {
            seed: PruneResult.load(place(state, name, "dense", 0.0, seed)).algo
            for method, _, seed in ready
            if method == "dense"
        }
        for method, sparsity, seed in ready:
            result = PruneResult.load(place(state, name, method, sparsity, seed))
            found.append(cell(name, method, sparsity, seed, result, dense, held_out))
    with written_aside(RESULTS / "offline_choice.json") as aside:
        lines = ",\n".join(json.dumps(entry) for entry in found)
        aside.write_text(f"[\n{lines}\n]\n")


def cell(
    name: str, method: str, sparsity: float, seed: int, result: PruneResult,
    dense: dict[int, Any], held_out: Dataset,
) -> dict[str, Any]:  # fmt: skip
    """What is known of one agent, as JSON has it."""
    evaluation, judged = result.evaluation, result.evaluation.off_policy
    assert judged is not None
    return {
        "task": name,
        "method": method,
        "sparsity": sparsity,
        "seed": seed,
        "returns": evaluation.returns,
        "score": evaluation.normalized_score,
        "fits": [[round(value, 4) for value in fit.values] for fit in judged.fits],
        "is_possible": judged.is_possible,
        "behaviour": judged.behaviour.value,
        "range": judged.behaviour.range,
        "gamma": judged.behaviour.gamma,
        "td_error": judged.td_error,
        "apart": {
            str(other): disagreement(result.algo, algo, held_out).value
            for other, algo in dense.items()
            if other != seed or method != "dense"
        },
    }


def main() -> None:
    """Train, and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []])
    parser.add_argument("--state", type=Path, default=Path("runs/offline_choice"))
    parser.add_argument("--collect", action="store_true", help="Only write the cells down.")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.tasks:
        train(name, asked.state)
    if asked.tasks or asked.collect:
        collect(asked.state)


if __name__ == "__main__":
    main()
