"""Time and memory of loading and training on a large dataset on disk.

python benchmarks/scale.py [transitions]

Writes a synthetic Minari dataset (17 observations and 6 actions in float32, episodes of
1 000 steps) to a temporary folder, loads it and trains BC on it in a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from processes import in_a_process

RESULTS = Path(__file__).parent / "results" / "scale.md"
TRANSITIONS, LENGTH = 1_000_000, 1_000
OBSERVATION, ACTION = 17, 6
STEPS = 300
BYTES = 4 * (OBSERVATION + ACTION + 2)  # and a reward and a flag


def write(n: int, path: Path) -> dict[str, float]:
    """Write the dataset; returns the seconds and the bytes of its files."""
    import numpy as np
    from loading import write_noise

    seconds = write_noise(path, n // LENGTH, LENGTH, OBSERVATION, ACTION, np.float32)
    return {"seconds": seconds, "bytes": sum(f.stat().st_size for f in path.glob("data/*"))}


def use(n: int, path: Path) -> dict[str, float]:
    """Load the dataset and train on it; returns seconds and peaks of memory in bytes."""
    import torch

    from offline_prune import load_dataset, prune_then_train

    torch.set_num_threads(1)
    imports = _peak()
    start = time.perf_counter()
    data = load_dataset(path)
    loading, loaded = time.perf_counter() - start, _peak()
    assert len(data) == n
    fields = (data.frames, data.actions, data.rewards, data.terminals, data.timeouts)
    start = time.perf_counter()
    result = prune_then_train(
        data, "bc", 0.95, n_steps=STEPS, evaluate=0, progress=False, batch_size=256
    )
    return {
        "arrays": sum(field.nbytes for field in fields),
        "imports": imports,
        "loading": loading,
        "loaded": loaded,
        "all": time.perf_counter() - start,
        "training": result.training_seconds,
        "trained": _peak(),
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def measure(n: int) -> list[str]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as root:
        needed, free = 2 * BYTES * n, shutil.disk_usage(root).free
        if needed > free:
            raise SystemExit(
                f"{needed / 2**30:.1f} GiB are needed in {root}, {free} bytes are free"
            )
        path = Path(root) / "noise"
        written, used = (in_a_process(__file__, stage, n, path) for stage in ("write", "use"))
    mib = 2.0**20
    above = used["trained"] - used["imports"]
    return [
        f"{n:,}",
        f"{written['bytes'] / mib:,.0f}",
        f"{used['arrays'] / mib:,.0f}",
        f"{used['imports'] / mib:,.0f}",
        f"{(used['loaded'] - used['imports']) / mib:,.0f}",
        f"{above / mib:,.0f}",
        f"{above / used['arrays']:.2f}",
        f"{written['seconds']:.1f}",
        f"{used['loading']:.1f}",
        f"{used['training']:.1f}",
    ]


def main(sizes: list[int]) -> None:
    """Measure and write the table."""
    headings = (
        "transitions", "files", "arrays", "imports", "peak of loading", "peak of all",
        "peak / arrays", "writing, s", "loading, s", f"{STEPS} steps, s",
    )  # fmt: skip
    rows = [measure(n) for n in sizes]
    lines = [
        "# Large datasets",
        "",
        f"Noise of {OBSERVATION} observations and {ACTION} actions in float32, episodes of"
        f" {LENGTH:,} steps, written as a",
        f"Minari dataset (HDF5), then loaded, scored (SNIP at 95 %) and trained (BC, {STEPS} steps"
        " of 256) in a",
        "fresh process on one thread. MiB; peaks are of resident memory above what the imports"
        " take. The",
        f"machine's load average was {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores; what is"
        " above 1 is other work, which times show.",
        f"Made by `python benchmarks/scale.py {' '.join(map(str, sizes))}`.",
        "",
        f"| {' | '.join(headings)} |",
        f"|{'---:|' * len(headings)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    RESULTS.write_text(text)


if __name__ == "__main__":
    if sys.argv[1:2] in (["write"], ["use"]):
        print(
            json.dumps(
                {"write": write, "use": use}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
            )
        )
    else:
        main([int(size) for size in sys.argv[1:]] or [TRANSITIONS])
