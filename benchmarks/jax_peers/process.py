"""A peer in a process of its own, which jax and its flags cannot leave."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from offline_prune import Dataset

__all__ = ["is_installed", "peer_training"]

FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
"""Not enough: XLA goes on running independent operations side by side, unless it has one core."""


def is_installed() -> bool:
    """Whether jax could be imported; it is not."""
    return importlib.util.find_spec("jax") is not None


@contextmanager
def peer_training(algo: str, data: Dataset) -> Iterator[Callable[[int], float]]:
    """A function of a number of steps: milliseconds a step on one core, compiled before.

    Args:
        algo: A name of :data:`jax_peers.algorithms.PEERS`.
        data: What it trains on; continuous actions, and observations that are vectors.

    Yields:
        The function. The process waits between its calls, and ends with the block.

    Raises:
        RuntimeError: From the function, if the process died, a weight is not finite, or XLA kept
            more than one core busy.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.npz"
        np.savez(
            file,
            observations=data.observations,
            actions=data.actions,
            rewards=data.rewards.ravel(),
            next_observations=data.next_observations,
            terminals=data.terminals.ravel(),
        )
        own = {"XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
        own["PYTHONPATH"] = str(Path(__file__).parents[1])
        with subprocess.Popen(
            [sys.executable, "-m", "jax_peers.child", algo, str(file)],
            env=os.environ | own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            if hasattr(os, "sched_setaffinity"):  # before it has imported jax, and started threads
                os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
            questions, answers = process.stdin, process.stdout
            assert questions is not None
            assert answers is not None

            def train(n_steps: int) -> float:
                print(n_steps, file=questions, flush=True)
                answer = answers.readline().split()
                if len(answer) != 3 or answer[2] != "True":
                    raise RuntimeError(f"The JAX peer of {algo} failed: {answer or 'it ended'}.")
                milliseconds, threads = map(float, answer[:2])
                if threads > 1.2 and milliseconds * n_steps > 200:  # else too short to tell
                    raise RuntimeError(
                        f"The JAX peer of {algo} kept {threads:.1f} cores busy instead of one:"
                        " its process could not be bound to one core on this system."
                    )
                return milliseconds

            yield train
