"""How much faster are two workers than one?

The same grid of short BC runs with one worker, which is this process, and with two. The
workers import everything first, which a study pays once; both ratios are given, with that
and without. Nothing else should run meanwhile.

    python benchmarks/sweep_workers.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from offline_prune.base.atomic import written_aside
from offline_prune.study import plan, read_records, run_cells

RESULTS = Path(__file__).parent / "results" / "sweep_workers.md"
SEEDS, STEPS = 24, 10_000


def seconds(directory: Path, workers: int, seeds: int, steps: int) -> tuple[float, float]:
    """Wall-clock seconds of the sweep, and the sum of what its cells took."""
    cells = plan(
        "pendulum/mixture-v0", "bc", 0.95, "snip", seeds, n_steps=steps, evaluate=10, evaluations=1
    )
    start = time.perf_counter()
    run_cells(cells, directory, workers=workers, progress=False)
    wall = time.perf_counter() - start
    return wall, sum(record["timing"]["seconds"] for record in read_records(directory))


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--no-write", action="store_true", help="only print")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        seconds(Path(folder) / "warm", 1, 1, 2)  # what is imported and made only once
        one, work_of_one = seconds(Path(folder) / "1", 1, arguments.seeds, arguments.steps)
        two, work_of_two = seconds(Path(folder) / "2", 2, arguments.seeds, arguments.steps)
    text = "\n".join(
        [
            "# Workers of a sweep",
            "",
            f"{arguments.seeds} cells: BC, SNIP at 95 %, `pendulum/mixture-v0`,"
            f" {arguments.steps:,} steps, 10 evaluation episodes;",
            "one thread a worker. Wall-clock seconds of the whole sweep, with the start of the",
            "workers. Made by `python benchmarks/sweep_workers.py`.",
            "",
            "| workers | seconds | sum over cells | speed-up | without the start |",
            "|---|---|---|---|---|",
            f"| 1 | {one:.1f} | {work_of_one:.1f} | 1 | 1 |",
            f"| 2 | {two:.1f} | {work_of_two:.1f} | {one / two:.2f}"
            f" | {2 * work_of_one / work_of_two:.2f} |",
        ]
    )
    print(text)
    if not arguments.no_write:
        with written_aside(RESULTS) as aside:
            aside.write_text(text + "\n")


if __name__ == "__main__":
    main()
