"""How long a study of a thousand cells takes to resume, to read and to report.

Writes a synthetic study (made-up scores and learning curves, in the form of real records)
to a temporary folder; then each stage works on it in a process of its own.

    python benchmarks/study_scale.py
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import in_a_process

RESULTS = Path(__file__).parent / "results" / "study_scale.md"
DATASET, SEEDS, SPARSITIES = "pendulum/mixture-v0", 5, (0.0, 0.8, 0.9, 0.95)
ALGOS = {
    "bc": ("actor",),
    "td3_plus_bc": ("actor", "critic[0]", "critic[1]"),
    "iql": ("actor", "critic[0]", "critic[1]", "value"),
    "cql": ("actor", "critic[0]", "critic[1]"),
    "bcq": ("actor", "imitator", "critic[0]", "critic[1]"),
}
METHODS = (
    "snip", "grasp", "synflow", "force", "iterative_snip", "structured", "shuffled(snip)",
    "shuffled(grasp)", "inverted(snip)", "random", "magnitude", "gmp", "rigl",
)  # fmt: skip
LAYERS = {"_layers.0.weight": 768, "_layers.2.weight": 65_536, "_fc.weight": 256}
POINTS, EPISODES, STEPS = 10, 10, 10
MISSING = 3  # of BC: the quickest


def make_cells() -> tuple[Any, ...]:
    """The grid."""
    from offline_prune.study import plan

    return plan(
        DATASET, [*ALGOS], SPARSITIES, METHODS, SEEDS,
        n_steps=STEPS, evaluate=EPISODES, evaluations=POINTS,
    )  # fmt: skip


def made_up(cell: Any, draw: random.Random) -> dict[str, Any]:
    """The record of a cell that came to a score drawn by chance."""
    from offline_prune.study.records import FORMAT

    level = 0.9 - 0.1 * cell.sparsity**4 * (*METHODS, "dense").index(cell.method) / 4
    curve = []
    for n in range(POINTS):
        scores = [level * (1 - math.exp(-n - 1)) + draw.gauss(0, 0.05) for _ in range(EPISODES)]
        mean = sum(scores) / EPISODES
        returns = [200 * score - 100 for score in scores]
        curve.append({"step": n + 1, "mean_return": 200 * mean - 100, "normalized_score": mean,
                      "returns": returns})  # fmt: skip
    density, weights = 1 - cell.sparsity, sum(LAYERS.values())
    network = {
        "weights": weights,
        "weights_kept": round(density * weights),
        "weights_connected": round(0.9 * density * weights),
        "layer_densities": {name: density ** draw.uniform(0.5, 1.5) for name in LAYERS},
    }
    networks = dict.fromkeys(ALGOS[cell.algo], network)
    window = curve[-cell.window :]
    result = {
        "n_steps": STEPS,
        "batch_size": 256,
        "sparsity": cell.sparsity,
        "returns": curve[-1]["returns"],
        "networks": networks,
        "curve": curve,
        **{name: len(networks) * network[name]
           for name in ("weights", "weights_kept", "weights_connected")},
        **{name: curve[-1][name] for name in ("mean_return", "normalized_score")},
        **{f"final_window_{name}": sum(p[name] for p in window) / len(window)
           for name in ("mean_return", "normalized_score")},
    }  # fmt: skip
    seconds = draw.uniform(5, 10) * (1 - 0.8 * cell.sparsity)
    return {
        "format": FORMAT,
        "id": cell.id,
        "cell": cell.to_dict(),
        "status": "ok",
        "error": None,
        "traceback": None,
        "result": result,
        "timing": {"training_seconds": seconds, "seconds": seconds + 1},
        "versions": {"torch": "2"},
    }


def write(directory: Path) -> Callable[[], object]:
    """Stage: write all records."""
    from offline_prune.study.records import write_record

    cells, draw = make_cells(), random.Random(0)
    return lambda: [write_record(directory, made_up(cell, draw)) for cell in cells]


def read(directory: Path) -> Callable[[], object]:
    """Stage: read the table."""
    from offline_prune.study import read_table

    return lambda: read_table(directory)


def resume(directory: Path) -> Callable[[], object]:
    """Stage: go on with the sweep."""
    from offline_prune.study import run_cells

    cells = make_cells()
    return lambda: run_cells(cells, directory, progress=False)


def check(directory: Path) -> Callable[[], object]:
    """Stage: what precedes the first run of a new study of all these cells."""
    from offline_prune.study.checks import check_cells

    cells = make_cells()
    return lambda: check_cells(cells)


def make_report(directory: Path) -> Callable[[], object]:
    """Stage: write the report."""
    from offline_prune import report

    return lambda: report(directory)


STAGES = {"write": write, "read": read, "resume": resume, "check": check, "report": make_report}


def run(stage: str, directory: Path) -> None:
    """Do a stage in this process; prints the seconds of it without the imports."""
    call = STAGES[stage](directory)
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall]))


def measure(stage: str, directory: Path) -> list[float]:
    """CPU and wall-clock seconds of a stage, then those of its whole process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    seconds = in_a_process(__file__, stage, directory)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [*seconds, cpu, wall]


def main() -> None:
    """Measure and write the table."""
    from offline_prune import load_dataset
    from offline_prune.base.atomic import written_aside
    from offline_prune.study import read_records

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-write", action="store_true", help="only print")
    arguments = parser.parse_args()
    load_dataset(DATASET)  # made at the first use
    cells = make_cells()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "study"
        measure("write", directory)
        records = [file.stat().st_size for file in (directory / "cells").iterdir()]
        rows = {
            "`read_table`": measure("read", directory),
            "resume, all cells done": measure("resume", directory),
        }
        lost = [cell for cell in cells if cell.algo == "bc"][-MISSING:]
        for cell in lost:
            (directory / "cells" / f"{cell.id}.json").unlink()
        rows[f"resume, {MISSING} cells missing"] = measure("resume", directory)
        names = {cell.id for cell in lost}
        ran = sum(r["timing"]["seconds"] for r in read_records(directory) if r["id"] in names)
        rows["checks before a study of as many new cells"] = measure("check", directory)
        rows["`report`"] = measure("report", directory)
        size = sum(file.stat().st_size for file in (directory / "report").iterdir())
    text = "\n".join(
        [
            "# A study of a thousand cells",
            "",
            f"{len(cells):,} synthetic cells: {len(ALGOS)} algorithms, {len(METHODS)} methods at"
            f" {len(SPARSITIES) - 1} sparsities and dense, {SEEDS} seeds, {POINTS} points of",
            f"{EPISODES} episodes a curve; records of {sum(records) / len(records) / 1024:.1f} KiB."
            " Seconds of the call, and of its process with",
            "all imports, on one thread. The machine's load average was"
            f" {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores; what is above 1",
            "is other work, which wall-clock and, less so, CPU seconds show.",
            f"The {MISSING} missing cells took {ran:.1f} of the wall-clock seconds themselves; the"
            " checks build each agent once.",
            f"The report has {size / 2**20:.1f} MiB. Made by `python benchmarks/study_scale.py`.",
            "",
            "| | CPU | wall-clock | process, CPU | process, wall-clock |",
            "|---|---:|---:|---:|---:|",
            *(
                f"| {stage} | {' | '.join(f'{seconds:.2f}' for seconds in found)} |"
                for stage, found in rows.items()
            ),
        ]
    )
    print(text)
    if not arguments.no_write:
        with written_aside(RESULTS) as aside:
            aside.write_text(text + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in STAGES:
        run(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
