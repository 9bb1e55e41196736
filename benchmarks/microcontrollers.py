"""Flash, RAM and instructions of exported C policies on microcontrollers, run in QEMU.

python -m benchmarks.microcontrollers [--out FILE]

About three minutes. Needs the compilers and emulators of ``make system-packages``; what is counted
does not depend on the machine, the trained weights do.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_prune import load_dataset, prune_and_shrink, prune_then_train
from offline_prune.base.atomic import written_aside
from offline_prune.export import export_policy
from tests.export.c.target.boards import BOARDS, Board, build, run

RESULTS = Path(__file__).parent / "results" / "microcontrollers.md"
DATASET = "halfcheetah/medium-small-v0"
SPARSITIES = (0.0, 0.9, 0.95, 0.99)
STEPS, EPISODES, DECISIONS = 5_000, 10, 32
PARTS = ("cortex-m4f", "cortex-m0+ large", "rv32imac")
FLASH, RAM = 64 * 1024, 8 * 1024  # of a small part


def policies() -> dict[str, tuple[Any, str]]:
    """Name → (algorithm, its return): BC of 256-256, and a student of the dense one."""
    data = load_dataset(DATASET)
    found: dict[str, tuple[Any, str]] = {}
    for sparsity in SPARSITIES:
        result = prune_then_train(
            data, "bc", sparsity, n_steps=STEPS, evaluate=EPISODES, progress=False
        )
        name = f"256-256, {sparsity:.0%}" if sparsity else "256-256, dense"
        found[name] = (result.algo, _return(result.evaluation))
        if not sparsity:
            teacher = result
    student = prune_and_shrink(
        teacher, data, gate="agreement", evaluate=EPISODES, n_steps=10_000, patience=3,
        progress=False,
    )  # fmt: skip
    widths = "-".join(map(str, student.hidden_units))
    found[f"PoPS, {widths}"] = (student.algo, _return(student.evaluation))
    return found


def _return(evaluation: Any) -> str:
    return f"{evaluation.mean_return:,.0f}"


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
    data = load_dataset(DATASET)
    rows = np.linspace(0, len(data.observations) - 1, DECISIONS).astype(int)
    observations = np.ascontiguousarray(data.observations[rows], dtype=np.float32)
    lines = [
        "# Microcontrollers",
        "",
        f"BC on `{DATASET}` ({STEPS:,} steps), exported to C, compiled with `-Os`, linked",
        "without libc and run in QEMU: on a Cortex-M4F, which has a floating-point unit, and on a",
        "Cortex-M0+ and a 32-bit RISC-V (RV32IMAC), which have none. Flash (kB of 1,024 bytes) is",
        "the whole image: weights, code, math functions, and about 1 kB of start-up and",
        "semihosting. RAM is the stack of one decision and what is static. Instructions are those",
        f"of one decision, the mean of {DECISIONS}, counted in the emulator and no cycles, of",
        "which a real core takes one or more for each. Fits: 64 kB of flash and 8 kB of RAM.",
        f"Return: mean of {EPISODES} episodes. Made by `python -m benchmarks.microcontrollers`.",
        "",
        "| policy | return | processor | flash | stack | RAM | instructions | fits a 64 kB part |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, (algo, mean_return) in policies().items():
            path = Path(folder) / "policy.c"
            export_policy(algo, path, observations)
            for part in PARTS:
                cells = measure(BOARDS[part], path, observations)
                row = [name, mean_return, BOARDS[part].processor, *cells]
                lines.append(f"| {' | '.join(row)} |")
                print(lines[-1], flush=True)
    with written_aside(arguments.out) as aside:
        aside.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
