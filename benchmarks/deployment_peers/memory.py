"""What a process grows by when a runtime and a policy are loaded: in a process of its own.

python -m deployment_peers.memory NUMBER OBSERVATIONS.npy FILE [FILE ...]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from deployment_peers.runtimes import RUNTIMES

__all__ = ["growth"]


def growth(number: int, observations: Path, files: list[Path]) -> float:
    """Megabytes of resident memory, after a policy is loaded and has decided once.

    Args:
        number: Of the runtime in :data:`deployment_peers.runtimes.RUNTIMES`.
        observations: A file of them.
        files: What :attr:`deployment_peers.subject.Runtime.write` returned.
    """
    done = subprocess.run(
        [sys.executable, "-m", "deployment_peers.memory", str(number), observations, *files],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.splitlines()[-1])


def _resident() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main() -> None:
    """Print the growth; numpy, torch and d3rlpy are there before."""
    number, observations, *files = sys.argv[1:]
    rows, paths = np.load(observations)[:1], [Path(file) for file in files]
    before = _resident()
    run = RUNTIMES[int(number)].open(paths)
    run(rows)
    print(f"\n{_resident() - before:.2f}")


if __name__ == "__main__":
    main()
