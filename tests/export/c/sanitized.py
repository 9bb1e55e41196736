"""C under the sanitizers of the compiler."""

import subprocess
from pathlib import Path

import pytest


def run_sanitized(folder: Path, main: str, checks: str, *flags: str) -> None:
    """Build ``main.c`` of a text and run it; skip where the compiler has no sanitizers."""
    (folder / "main.c").write_text(main)
    command = ["cc", "-std=c99", *flags, f"-fsanitize={checks}", "-fno-sanitize-recover=all"]
    built = subprocess.run(
        [*command, "-o", "main", "main.c", "-lm"], cwd=folder, capture_output=True
    )
    if built.returncode:
        pytest.skip("no sanitizers here")
    done = subprocess.run(["./main"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
