"""Loading a million transitions, and drawing mini-batches from them.

python benchmarks/loading.py
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from gymnasium.spaces import Box
from minari.data_collector.episode_buffer import EpisodeBuffer
from processes import in_a_process

from offline_prune.base.atomic import written_aside
from offline_prune.data import load_dataset
from offline_prune.data.made.store import write_dataset

RESULTS = Path(__file__).parent / "results" / "loading.md"
EPISODES, LENGTH, OBSERVATION, ACTION = 1_000, 1_000, 11, 3
FIELDS = ("frames", "actions", "rewards", "terminals")


def write_noise(
    path: Path,
    episodes: int,
    length: int,
    observation: int,
    action: int,
    dtype: type[np.floating[Any]],
) -> float:
    """Write a synthetic Minari dataset into a folder.

    Args:
        path: The folder.
        episodes: How many.
        length: Transitions of each.
        observation: Dimensions of an observation.
        action: Dimensions of an action.
        dtype: Of observations and rewards.

    Returns:
        The seconds of writing alone.
    """
    rng = np.random.default_rng(0)
    flags = np.zeros(length, dtype=bool)
    last = flags.copy()
    last[-1] = True
    played = [
        EpisodeBuffer(
            observations=rng.normal(size=(length + 1, observation)).astype(dtype),
            actions=rng.uniform(-1, 1, (length, action)).astype(np.float32),
            rewards=rng.normal(size=length).astype(dtype),
            terminations=flags,
            truncations=last,
        )
        for _ in range(episodes)
    ]
    start = time.perf_counter()
    write_dataset(
        "benchmark/noise-v0",
        played,
        observation_space=Box(-np.inf, np.inf, (observation,), dtype),
        action_space=Box(-1, 1, (action,), np.float32),
        env_spec=None,
        metadata={"description": "Noise."},
        path=path,
    )
    return time.perf_counter() - start


def kilobytes(name: str) -> int:
    """A number of ``/proc/self/status``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def load(path: Path, warm: Path) -> tuple[float, float, float, int]:
    """Seconds, peak of memory over the arrays, their MiB and transitions of a dataset."""
    _ = load_dataset(warm).buffer  # everything imported and warm
    # Linux keeps the peak of resident memory as VmHWM, and starts it anew with this.
    Path("/proc/self/clear_refs").write_text("5")
    base = kilobytes("VmRSS")
    start = time.perf_counter()
    data = load_dataset(path)
    _ = data.buffer
    seconds = time.perf_counter() - start
    peak = kilobytes("VmHWM") - base
    size = sum(getattr(data, field).nbytes for field in FIELDS)
    return seconds, peak * 1024 / size, size / 2**20, len(data)


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
        for path, episodes in ((large, EPISODES), (small, 100)):
            write_noise(path, episodes, LENGTH, OBSERVATION, ACTION, np.float64)
        runs = [in_a_process(__file__, large, small) for _ in range(3)]
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
    if len(sys.argv) == 3:
        print(json.dumps(load(*map(Path, sys.argv[1:]))))
    else:
        main()
