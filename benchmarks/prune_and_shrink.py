"""PoPS: how small a student of a trained agent may be.

    python benchmarks/prune_and_shrink.py          # trains what is not there, some minutes a cell
    python benchmarks/prune_and_shrink.py report   # writes results/prune_and_shrink.md

Teachers are trained first (``teachers.py``) and kept in ``runs/prune_and_shrink``. Records lie in
``results/prune_and_shrink.json``. Needs the extra ``box2d`` for LunarLander, ``games`` for Pong.
"""

from __future__ import annotations

import sys
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from online_cells import RESULTS, Record, records, run_cells
from teachers import TEACHERS

from offline_prune import prune_and_shrink
from offline_prune.base.atomic import written_aside

STUDY = "prune_and_shrink"
RUNS = Path("runs") / STUDY
EPISODES = 100
SEEDS = (0, 1, 2)
# The objectives are the paper's for CartPole and LunarLander; else the default.
OPTIONS: dict[str, dict[str, Any]] = {
    "cartpole": {"objective": 195.0, "lower_bound": 190.0, "n_steps": 20_000},
    "lunarlander": {"objective": 200.0, "lower_bound": 160.0, "n_steps": 20_000, "patience": 10},
    "pong": {"gate_episodes": 5, "gate_interval": 2_000, "n_steps": 20_000, "patience": 10},
    "halfcheetah": {
        "gate_episodes": 5,
        "gate_interval": 2_000,
        "n_steps": 20_000,
        "patience": 10,
    },
}
COLUMNS = (
    "teacher", "seed", "its widths", "parameters", "return", "student's widths", "parameters",
    "of the teacher's", "return", "objective", "sparsity", "steps",
)  # fmt: skip


def cells() -> list[dict[str, Any]]:
    """All cells, teacher by teacher."""
    return [{"teacher": name, "seed": seed} for name, seed in product(TEACHERS, SEEDS)]


def run(teacher: str, seed: int) -> dict[str, Any]:
    """Prune and shrink one teacher's student."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    taught = TEACHERS[teacher](RUNS)
    result = prune_and_shrink(
        taught.algo, taught.data, evaluate=EPISODES, seed=seed, progress=False, **OPTIONS[teacher]
    )
    print(result, flush=True)
    return {
        "title": taught.title,
        "teacher_units": result.teacher_hidden_units,
        "teacher_parameters": result.teacher_parameters,
        "teacher_return": result.teacher_evaluation.mean_return,
        "units": result.hidden_units,
        "parameters": result.n_parameters - result.n_weights + result.n_nonzero,
        "return": result.evaluation.mean_return,
        "std": result.evaluation.std_return,
        "objective": result.objective,
        "sparsities": [i.sparsity for i in result.iterations],
        "refused": [
            [i.shrunken_units, i.shrunken_score] for i in result.iterations if not i.accepted
        ],
        "steps": result.gradient_steps,
        "seconds": result.seconds,
    }


def row(found: Record) -> str:
    """A line of the table."""
    last = found["refused"][-1] if found.get("refused") else None
    columns = [
        found["title"],
        str(found["seed"]),
        _widths(found["teacher_units"]),
        f"{found['teacher_parameters']:,}",
        f"{found['teacher_return']:,.1f}",
        _widths(found["units"]),
        f"{found['parameters']:,}",
        f"{found['parameters'] / found['teacher_parameters']:.2%}",
        f"{found['return']:,.1f} ± {found['std']:,.1f}",
        f"{found['objective']:,.1f}",
        ", ".join("none" if s is None else f"{s:.1%}" for s in found["sparsities"]),
        f"{found['steps']:,}",
    ]
    if last is not None and last[0] is not None and last[1] is not None:
        columns[5] += f" ({_widths(last[0])} came to {last[1]:,.1f})"
    return f"| {' | '.join(columns)} |"


def _widths(units: list[int]) -> str:
    return "-".join(map(str, units))


def report() -> None:
    """Write the page."""
    found = sorted(records(STUDY), key=lambda r: (list(TEACHERS).index(r["teacher"]), r["seed"]))
    means = [
        f"{name} {np.mean([r['return'] for r in found if r['teacher'] == name]):,.1f}"
        for name in dict.fromkeys(r["teacher"] for r in found)
    ]
    lines = "\n".join(map(row, found))
    text = f"""# Prune and shrink (PoPS)

A teacher's acting network against its small student: parameters are weights and biases that are
not zero, returns are means over {EPISODES} episodes of seeds that no gate saw. Objective: the
return from which on a student counted as good; sparsity: of the sparsest student that reached it,
round by round. Where no small dense student reached it, the result is the sparsest pruned one of
the teacher's widths; in brackets the small one and the best that the gate saw of it. Made by
`python benchmarks/prune_and_shrink.py report` of `results/prune_and_shrink.json`.

| {" | ".join(COLUMNS)} |
{"|---" * len(COLUMNS)}|
{lines}

Mean returns of the students: {", ".join(means)}.
"""
    with written_aside(RESULTS / f"{STUDY}.md") as aside:
        aside.write_text(text)


if __name__ == "__main__":
    report() if sys.argv[1:] == ["report"] else run_cells(STUDY, cells(), run)
