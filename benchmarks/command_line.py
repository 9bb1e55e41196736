"""How soon commands answer that need no networks.

    OMP_NUM_THREADS=1 python benchmarks/command_line.py

writes ``benchmarks/results/command_line.md``: medians of seconds of the processor, rounds in
turn, beside an empty Python and one that imports what the other commands need.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from offline_prune.base.atomic import written_aside

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "command_line.md"
SAVED = "tests/fixtures/result-0.1/result"
ROUNDS = 7
CALLS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import torch, d3rlpy, minari'": [
        "-W",
        "ignore",
        "-c",
        "import torch, d3rlpy, minari",
    ],
    **{
        f"offline-prune {arguments}": ["-m", "offline_prune.cli", *arguments.split()]
        for arguments in (
            "--help",
            "datasets",
            "algos",
            "algos iql",
            f"show {SAVED}",
            "run --help",
            "sweep --help",
        )
    },
}


def seconds(arguments: list[str]) -> float:
    """Seconds of the processor that a process takes."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=True)
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


def main() -> None:
    """Measure and write the table."""
    found: dict[str, list[float]] = {name: [] for name in CALLS}
    for _ in range(ROUNDS):
        for name, arguments in CALLS.items():
            found[name].append(seconds(arguments))
    lines = ["# Commands that need no networks", "",
             f"Seconds of the processor, medians of {ROUNDS} rounds in turn. Made by"
             " `python benchmarks/command_line.py`.", "", "| command | seconds |",
             "|---|---|"]  # fmt: skip
    lines += [f"| `{name}` | {statistics.median(times):.2f} |" for name, times in found.items()]
    with written_aside(RESULTS) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
