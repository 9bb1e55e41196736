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
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "scale.md"
TRANSITIONS, LENGTH = 1_000_000, 1_000
OBSERVATION, ACTION = 17, 6
STEPS = 300
BYTES = 4 * (OBSERVATION + ACTION + 2)  # and a reward and a flag
DATASET = "synthetic/scale-v0"


def write(n: int) -> dict[str, float]:
    """Write the dataset; returns the seconds and the bytes of its files."""
    import numpy as np
    from gymnasium.spaces import Box
    from minari.data_collector.episode_buffer import EpisodeBuffer

    from offline_prune.data.made.store import write_dataset

    rng = np.random.default_rng(0)
    flags = np.zeros(LENGTH, dtype=bool)
    ends = flags.copy()
    ends[-1] = True
    episodes = [
        EpisodeBuffer(
            observations=rng.standard_normal((LENGTH + 1, OBSERVATION), dtype=np.float32),
            actions=rng.uniform(-1, 1, (LENGTH, ACTION)).astype(np.float32),
            rewards=rng.standard_normal(LENGTH, dtype=np.float32),
            terminations=flags,
            truncations=ends,
        )
        for _ in range(n // LENGTH)
    ]
    start = time.perf_counter()
    dataset = write_dataset(
        DATASET,
        episodes,
        observation_space=Box(-np.inf, np.inf, (OBSERVATION,), np.float32),
        action_space=Box(-1, 1, (ACTION,), np.float32),
        env_spec=None,
        metadata={"description": "Noise."},
    )
    files = Path(dataset.storage.data_path).glob("*")
    return {
        "seconds": time.perf_counter() - start,
        "bytes": sum(file.stat().st_size for file in files),
    }


def use(n: int) -> dict[str, float]:
    """Load the dataset and train on it; returns seconds and peaks of memory in bytes."""
    import torch

    from offline_prune import load_dataset, prune_then_train

    torch.set_num_threads(1)
    imports = _peak()
    start = time.perf_counter()
    data = load_dataset(DATASET)
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


def _in_a_process(stage: str, n: int, root: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, stage, str(n)],
        env={**os.environ, "MINARI_DATASETS_PATH": root, "OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(n: int) -> list[str]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as root:
        needed, free = 2 * BYTES * n, shutil.disk_usage(root).free
        if needed > free:
            raise SystemExit(
                f"{needed / 2**30:.1f} GiB are needed in {root}, {free} bytes are free"
            )
        written, used = _in_a_process("write", n, root), _in_a_process("use", n, root)
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
        print(json.dumps({"write": write, "use": use}[sys.argv[1]](int(sys.argv[2]))))
    else:
        main([int(size) for size in sys.argv[1:]] or [TRANSITIONS])
