"""Does pruning and then quantising lose more than either? Returns of exported files.

python benchmarks/quantised_returns.py [--out FILE]

Ten minutes on a quiet core; what is measured of a seed is kept beside the page, in JSON, and the
same command goes on. Needs a C compiler and the extra ``onnx``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_prune import load_dataset, prune_then_train
from offline_prune.base.atomic import written_aside
from offline_prune.errors import ExportError
from offline_prune.evaluation import evaluate
from offline_prune.export import FORMATS, acting_policy, export_policy

RESULTS = Path(__file__).parent / "results" / "quantised_returns.md"
DATASET = "halfcheetah/medium-small-v0"
SPARSITIES = (0.0, 0.9, 0.95, 0.99)
FILES = {
    "float32": ("policy.c", "float32"),
    "float16": ("policy.c", "float16"),
    "int8, C": ("policy.c", "int8"),
    "int8, ONNX": ("policy.onnx", "int8"),
}
SEEDS, STEPS, EPISODES = (1, 2, 3), 5_000, 20

Returns = dict[str, list[float] | None]
"""Kind of file → returns of its episodes; None where the export was refused."""


def returns_of(algo: Any) -> Returns:
    """An agent's files, each of them played in the same episodes."""
    data = load_dataset(DATASET)
    found: Returns = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, (name, dtype) in FILES.items():
            path = Path(folder) / name
            try:
                export_policy(algo, path, data.observations, dtype=dtype)
            except ExportError:
                found[kind] = None
                continue
            act = FORMATS[path.suffix].open(path, acting_policy(algo))[0]
            played = evaluate(SimpleNamespace(predict=act), data.metadata, EPISODES)
            found[kind] = [float(value) for value in played.returns or ()]
    return found


def measured(kept: Path) -> dict[str, Returns]:
    """``"seed sparsity"`` → returns; what is there is not measured again."""
    cells: dict[str, Returns] = json.loads(kept.read_text()) if kept.is_file() else {}
    for seed in SEEDS:
        for sparsity in SPARSITIES:
            cell = f"{seed} {sparsity}"
            if cell in cells:
                continue
            result = prune_then_train(
                DATASET, "bc", sparsity, seed=seed, n_steps=STEPS, evaluate=0, progress=False
            )
            cells[cell] = returns_of(result.algo)
            means = {k: None if v is None else round(np.mean(v)) for k, v in cells[cell].items()}
            print(cell, means, flush=True)
            with written_aside(kept) as aside:
                aside.write_text(json.dumps(cells, indent=1) + "\n")
    return cells


def table(cells: dict[str, Returns]) -> list[str]:
    """A row a sparsity: the return of floats, and what each kind of file takes of it."""
    lines = []
    for sparsity in SPARSITIES:
        of_seeds = [cells[f"{seed} {sparsity}"] for seed in SEEDS]
        row = [f"{sparsity:.0%}", f"{np.mean([found['float32'] for found in of_seeds]):,.0f}"]
        for kind in list(FILES)[1:]:
            lost = [_lost(found["float32"], found[kind]) for found in of_seeds]
            there = [episodes.mean() for episodes in lost if episodes is not None]
            row += [f"{np.mean(there):,.0f}" if there else "", ", ".join(map(_mean, lost))]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def _lost(before: list[float] | None, after: list[float] | None) -> NDArray[np.float64] | None:
    """Episode by episode."""
    return None if before is None or after is None else np.subtract(before, after)


def _mean(lost: NDArray[np.float64] | None) -> str:
    if lost is None:
        return "refused"
    return f"{lost.mean():,.0f} ± {lost.std(ddof=1) / len(lost) ** 0.5:,.0f}"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = table(measured(arguments.out.with_suffix(".json")))
    columns = "".join(f" {kind} loses | seed by seed |" for kind in list(FILES)[1:])
    lines = [
        "# Pruning, then quantising",
        "",
        f"BC on `{DATASET}` ({STEPS:,} steps, SNIP), {len(SEEDS)} seeds, {EPISODES} episodes a",
        "file, the same ones for all: the return of the C file in float32, and how much less the",
        "files with smaller weights of the same agents return, in the mean and seed by seed",
        "(± the standard error over episodes); negative is more. What quantising loses of a",
        "pruned agent beyond what it loses of the dense one is what the two lose together beyond",
        "either. Made by `python benchmarks/quantised_returns.py`.",
        "",
        f"| sparsity | float32 |{columns}",
        f"|---|---|{'---|' * 2 * (len(FILES) - 1)}",
        *rows,
    ]
    with written_aside(arguments.out) as aside:
        aside.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
