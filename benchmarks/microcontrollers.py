"""C policies on microcontrollers, run in QEMU: memory, instructions, and what small weights cost.

python -m benchmarks.microcontrollers [--out FILE]

About three minutes. Needs the compilers and emulators of ``make system-packages``; what is counted
does not depend on the machine, the trained weights do.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_prune import load_dataset, prune_and_shrink, prune_then_train
from offline_prune.base.atomic import written_aside
from offline_prune.evaluation import evaluate
from offline_prune.export import ExportedPolicy, acting_policy, export_policy
from offline_prune.export.c.library import open_c
from tests.export.c.target.boards import BOARDS, Board, build, run

RESULTS = Path(__file__).parent / "results" / "microcontrollers.md"
DATASET = "halfcheetah/medium-small-v0"
SPARSITIES = (0.0, 0.9, 0.95, 0.99)
STEPS, EPISODES, DECISIONS = 5_000, 10, 32
PARTS = ("cortex-m4f", "cortex-m0+ large", "rv32imac")
FLASH, RAM = 64 * 1024, 8 * 1024  # of a small part
DTYPES = ("float32", "float16", "int8")
HELD_OUT = 7  # every so many observations; one in nine calibrates

HEAD = (
    "# Microcontrollers",
    "",
    f"BC on `{DATASET}` ({STEPS:,} steps), dense, pruned and its student, exported to C with",
    "weights of float32, float16 and int8. Made by `python -m benchmarks.microcontrollers`.",
    "",
    "## What small weights cost",
    "",
    "How far actions, which reach from -1 to 1, are from those of the trained agent, over one",
    f"observation in {HELD_OUT} of the dataset; and the return of the file itself, mean and",
    f"deviation of {EPISODES} episodes.",
    "",
    "| policy | weights | most | mean | return |",
    "|---|---|---|---|---|",
)
COSTS = (
    "",
    "## Memory and instructions",
    "",
    "Compiled with `-Os`, linked without libc and run in QEMU: on a Cortex-M4F, which has a",
    "floating-point unit, and on a Cortex-M0+ and a 32-bit RISC-V (RV32IMAC), which have none.",
    "Flash (kB of 1,024 bytes) is the whole image: weights, code, math functions, and about 1 kB",
    "of start-up and semihosting. RAM is the stack of one decision and what is static.",
    f"Instructions are those of one decision, the mean of {DECISIONS}, counted in the emulator;",
    "they are no cycles, of which a real core takes one or more for each. Fits: 64 kB of flash",
    "and 8 kB of RAM.",
    "",
    "| policy | weights | processor | flash | stack | RAM | instructions | fits a 64 kB part |",
    "|---|---|---|---|---|---|---|---|",
)


def policies() -> dict[str, Any]:
    """Name → algorithm: BC of 256-256, and a student of the dense one."""
    data = load_dataset(DATASET)
    found: dict[str, Any] = {}
    for sparsity in SPARSITIES:
        result = prune_then_train(data, "bc", sparsity, n_steps=STEPS, evaluate=0, progress=False)
        found[f"256-256, {sparsity:.0%}" if sparsity else "256-256, dense"] = result.algo
        if not sparsity:
            teacher = result
    student = prune_and_shrink(
        teacher, data, gate="agreement", evaluate=0, n_steps=10_000, patience=3, progress=False
    )
    found[f"PoPS, {'-'.join(map(str, student.hidden_units))}"] = student.algo
    return found


def accuracy(algo: Any, written: ExportedPolicy, observations: NDArray[np.float32]) -> list[str]:
    """How far the file's actions are from the agent's, and the mean return of the file itself."""
    act, _ = open_c(written.path, acting_policy(algo))
    apart = np.abs(act(observations) - algo.predict(observations))
    metadata = load_dataset(DATASET).metadata
    found = evaluate(SimpleNamespace(predict=act), metadata, EPISODES)
    mean_return = f"{found.mean_return:,.0f} ± {found.std_return:,.0f}"
    return [f"{apart.max():.2g}", f"{apart.mean():.2g}", mean_return]


def measure(board: Board, policy: Path, observations: NDArray[np.float32]) -> list[str]:
    """Cells of a policy on a board."""
    with tempfile.TemporaryDirectory() as folder:
        image = build(board, policy, Path(folder), discrete=False)
        done = run(image, observations)
    assert done.stack is not None
    assert done.instructions is not None
    ram = image.static + done.stack
    fits = "yes" if image.flash <= FLASH and ram <= RAM else "no"
    return [
        f"{image.flash / 1024:.1f} kB",
        f"{done.stack:,} B",
        f"{ram:,} B",
        f"{done.instructions:,.0f}",
        fits,
    ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    observations = load_dataset(DATASET).observations.astype(np.float32)
    accuracies, costs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, algo in policies().items():
            for dtype in DTYPES:
                path = Path(folder) / "policy.c"
                written = export_policy(algo, path, observations, dtype=dtype)
                cells = [name, dtype, *accuracy(algo, written, observations[::HELD_OUT])]
                accuracies.append(f"| {' | '.join(cells)} |")
                print(accuracies[-1], flush=True)
                for part in PARTS:
                    rows = observations[:: len(observations) // DECISIONS][:DECISIONS]
                    cells = measure(BOARDS[part], path, rows)
                    cells = [name, dtype, BOARDS[part].processor, *cells]
                    costs.append(f"| {' | '.join(cells)} |")
                    print(costs[-1], flush=True)
    lines = [*HEAD, *accuracies, *COSTS, *costs]
    with written_aside(arguments.out) as aside:
        aside.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
