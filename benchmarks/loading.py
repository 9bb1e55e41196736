"""Loading a million transitions, and drawing mini-batches from them.

python benchmarks/loading.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from gymnasium.spaces import Box
from minari.data_collector.episode_buffer import EpisodeBuffer

from offline_prune.base.atomic import written_aside
from offline_prune.data import load_dataset
from offline_prune.data.made.store import write_dataset

RESULTS = Path(__file__).parent / "results" / "loading.md"
EPISODES, LENGTH, OBSERVATION, ACTION = 1_000, 1_000, 11, 3
FIELDS = ("frames", "actions", "rewards", "terminals")

# Runs in a process of its own. Linux keeps the peak of resident memory as VmHWM, and
# starts it anew when 5 is written to clear_refs.
MEASURE = """
import sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from offline_prune import load_dataset

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])

load_dataset(Path(sys.argv[2])).buffer  # everything imported and warm
Path("/proc/self/clear_refs").write_text("5")
base = kilobytes("VmRSS")
start = time.perf_counter()
data = load_dataset(Path(sys.argv[1]))
data.buffer
seconds = time.perf_counter() - start
peak = kilobytes("VmHWM") - base
size = sum(getattr(data, f).nbytes for f in ("frames", "actions", "rewards", "terminals"))
print(seconds, peak * 1024 / size, size / 2**20, len(data))
"""


def make(path: Path, episodes: int) -> None:
    """Write a synthetic Minari dataset."""
    rng = np.random.default_rng(0)
    flags = np.zeros(LENGTH, dtype=bool)
    last = flags.copy()
    last[-1] = True
    write_dataset(
        "benchmark/loading-v0",
        [
            EpisodeBuffer(
                observations=rng.normal(size=(LENGTH + 1, OBSERVATION)),
                actions=rng.uniform(-1, 1, (LENGTH, ACTION)).astype(np.float32),
                rewards=rng.normal(size=LENGTH),
                terminations=flags,
                truncations=last,
            )
            for _ in range(episodes)
        ],
        observation_space=Box(-np.inf, np.inf, (OBSERVATION,), np.float64),
        action_space=Box(-1, 1, (ACTION,), np.float32),
        env_spec=None,
        metadata={},
        path=path,
    )


def batch_milliseconds(path: Path) -> tuple[float, float]:
    """Median time of a batch of 256, ours and d3rlpy's, drawn in turn."""
    ours = load_dataset(path).buffer
    theirs = ReplayBuffer(InfiniteBuffer(), episodes=ours.episodes)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(200):
        for buffer, found in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            buffer.sample_transition_batch(256)
            found.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[0])), float(np.median(times[1]))


def main() -> None:
    """Measure and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large", Path(folder) / "small"
        make(large, EPISODES)
        make(small, 100)
        runs = []
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, str(large), str(small)],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            runs.append([float(word) for word in done.stdout.split()])
        seconds, ratio, size, count = np.median(runs, axis=0)
        ours, theirs = batch_milliseconds(small)
    text = f"""# Loading and sampling

{count:,.0f} transitions of {OBSERVATION} observed dimensions (float64 on disk) and {ACTION} action
dimensions in {EPISODES:,} episodes, Minari HDF5, warm file cache, median of 3 processes. Memory:
peak resident size above what it was before, as a multiple of the float32 arrays that are kept
({", ".join(FIELDS)}: {size:.0f} MiB). Batches: median of 200, drawn in turn from 100 000
transitions. Made by `python benchmarks/loading.py`.

| | measured | target |
|---|---|---|
| load | {seconds:.2f} s | ≤ 4 s |
| peak memory | {ratio:.2f} × the arrays | ≤ 2.5 × |
| batch of 256, this package | {ours:.3f} ms | ≤ 0.15 ms |
| batch of 256, d3rlpy's buffer | {theirs:.2f} ms | |
"""
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    with written_aside(RESULTS) as aside:
        aside.write_text(text)


if __name__ == "__main__":
    main()
