"""C that is timed is compiled in one way."""

from __future__ import annotations

import subprocess
from pathlib import Path

from offline_prune.export.c.library import c_compiler


def compile_c(folder: Path, *arguments: str) -> None:
    """Call the C compiler in a folder."""
    compiler = c_compiler()
    assert compiler is not None, "no C compiler (cc, gcc, clang) on PATH"
    subprocess.run([compiler, "-std=c99", "-Wno-unused", *arguments], cwd=folder, check=True)
