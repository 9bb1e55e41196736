"""Synthetic studies: folders of records as a sweep writes them, without training."""

import math
import random

from offline_prune.study import Cell
from offline_prune.study.records import FORMAT, write_record

NETWORKS = {"bc": ("actor",), "iql": ("actor", "critic[0]", "critic[1]", "value")}
LAYERS = {"_layers.0.weight": 96, "_layers.2.weight": 4096, "_fc.weight": 64}


def record(cell, score, *, error=None, reference=True, seconds=None):
    """What a sweep writes of a cell that came to a score."""
    sparsity = cell.sparsity if isinstance(cell.sparsity, float | int) else 0.5
    networks = {
        role: {
            "layer_densities": {
                name: max(0.001, 1 - sparsity * (1.0 if size > 1000 else 0.6))
                for name, size in LAYERS.items()
            }
        }
        for role in NETWORKS.get(cell.algo, ("actor",))
    }
    weights = len(networks) * sum(LAYERS.values())
    kept = round(weights * (1 - sparsity))
    points = [
        {
            "step": 100 * (n + 1),
            "mean_return": 200 * value - 100,
            "normalized_score": value if reference else None,
        }
        for n, value in enumerate(score * (1 - math.exp(-n - 1)) for n in range(5))
    ]
    result = {
        "n_steps": 500,
        "batch_size": 64,
        "sparsity": sparsity,
        "weights": weights,
        "weights_kept": kept,
        "weights_connected": round(0.9 * kept) if sparsity else kept,
        "networks": networks,
        "final_window_mean_return": 200 * score - 100,
        "final_window_normalized_score": score if reference else None,
        "curve": points,
    }
    timing = {"training_seconds": 10 * (1 - 0.8 * sparsity) if seconds is None else seconds}
    return {
        "format": FORMAT,
        "id": cell.id,
        "cell": cell.to_dict(),
        "status": "failed" if error else "ok",
        "error": error,
        "traceback": None,
        "result": None if error else result,
        "timing": {} if error else timing,
        "versions": {"torch": "2.13.0"},
    }


def write_study(directory, cells, seed=0, **options):
    """Write records of cells, whose scores fall with sparsity."""
    draw = random.Random(seed)
    for cell in cells:
        parts = cell.sparsity.values() if isinstance(cell.sparsity, dict) else [cell.sparsity]
        worst = max(parts)
        score = 0.9 - 0.5 * worst**4 + draw.gauss(0, 0.05)
        write_record(directory, record(cell, score, **options))
    return directory


def grid(methods=("snip", "shuffled(snip)"), sparsities=(0.0, 0.5, 0.9), seeds=3, **fields):
    """Cells of one task: dense, and methods at sparsities."""
    fields = {"dataset": "lab/arm-v0", "algo": "bc", **fields}
    cells = {}
    for method in methods:
        for sparsity in sparsities:
            for seed in range(seeds):
                cell = Cell(method=method, sparsity=sparsity, seed=seed, **fields)
                cells[cell.id] = cell
    return list(cells.values())
