"""PoPS: how small a student of a trained agent may be.

python benchmarks/prune_and_shrink.py [--runs DIR] [--only TEACHER]

Trains the teachers first (``teachers.py``; ten minutes), keeps them and every finished run
in DIR, and goes on where it stopped. Needs the extra ``box2d`` for LunarLander.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from teachers import TEACHERS

from offline_prune import prune_and_shrink
from offline_prune.base.atomic import written_aside

RESULTS = Path(__file__).parent / "results" / "prune_and_shrink.md"
EPISODES = 100
SEEDS = (0, 1, 2)
# The objectives are the paper's for CartPole and LunarLander; else the default.
OPTIONS: dict[str, dict[str, Any]] = {
    "cartpole": {"objective": 195.0, "lower_bound": 190.0, "n_steps": 20_000},
    "lunarlander": {"objective": 200.0, "lower_bound": 160.0, "n_steps": 20_000, "patience": 10},
    "halfcheetah": {
        "gate_episodes": 5,
        "gate_interval": 2_000,
        "n_steps": 20_000,
        "patience": 10,
    },
}


def run(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """One run, or what it came to before."""
    file = folder / f"{name}-{seed}.json"
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    teacher = TEACHERS[name](folder)
    result = prune_and_shrink(
        teacher.algo, teacher.data, evaluate=EPISODES, seed=seed, progress=False, **OPTIONS[name]
    )
    print(result, flush=True)
    found = {
        "title": teacher.title,
        "teacher_units": result.teacher_hidden_units,
        "teacher_parameters": result.teacher_parameters,
        "teacher_return": result.teacher_evaluation.mean_return,
        "units": result.hidden_units,
        "parameters": result.n_parameters,
        "return": result.evaluation.mean_return,
        "std": result.evaluation.std_return,
        "gate": result.gate,
        "objective": result.objective,
        "sparsities": [i.sparsity for i in result.iterations],
        "steps": result.gradient_steps,
        "seconds": result.seconds,
    }
    with written_aside(file) as aside:
        aside.write_text(json.dumps(found, indent=1))
    return found


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/prune_and_shrink"))
    parser.add_argument("--only", choices=TEACHERS)
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    names = [arguments.only] if arguments.only else list(TEACHERS)
    lines = [
        "# Prune and shrink (PoPS)",
        "",
        "A teacher's acting network against its small dense student: parameters are weights and",
        f"biases, returns are means over {EPISODES} episodes of seeds that no gate saw.",
        "Objective: the return from which on a student counted as good; sparsity: of the sparsest",
        "student that reached it, round by round. Made by `python benchmarks/prune_and_shrink.py`.",
        "",
        "| teacher | seed | its widths | parameters | return | student's widths | parameters"
        " | of the teacher's | return | objective | sparsity | steps |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    means = []
    for name in names:
        returns = []
        for seed in SEEDS:
            found = run(name, seed, arguments.runs)
            cells = [
                found["title"],
                str(seed),
                "-".join(map(str, found["teacher_units"])),
                f"{found['teacher_parameters']:,}",
                f"{found['teacher_return']:,.1f}",
                "-".join(map(str, found["units"])),
                f"{found['parameters']:,}",
                f"{found['parameters'] / found['teacher_parameters']:.2%}",
                f"{found['return']:,.1f} ± {found['std']:,.1f}",
                f"{found['objective']:,.1f}",
                ", ".join("none" if s is None else f"{s:.1%}" for s in found["sparsities"]),
                f"{found['steps']:,}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
            returns.append(found["return"])
        means.append(f"{name} {np.mean(returns):,.1f}")
    lines += ["", f"Mean returns of the students: {', '.join(means)}."]
    if not arguments.only:
        with written_aside(RESULTS) as aside:
            aside.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
