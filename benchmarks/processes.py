"""Stages of a benchmark, each in a process of its own that nothing has been left in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

__all__ = ["in_a_process"]


def in_a_process(script: str, *arguments: object) -> Any:
    """Run a script with other arguments.

    Args:
        script: Its path; what it prints last is JSON.
        *arguments: Of the command line.

    Returns:
        What it printed last.
    """
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
