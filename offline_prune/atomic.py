"""Write aside, then rename: a file or folder is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["written_aside", "written_aside_directory"]


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it on success.

    Args:
        path: The file to write; its folder is made if it is missing.

    Yields:
        Where to write. On an error the temporary file is removed and a file already
        at ``path`` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def written_aside_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that becomes ``path`` on success.

    Args:
        path: The folder to make; it may exist only if it is empty.

    Yields:
        Where to write. On an error the temporary folder is removed.

    Raises:
        OSError: If ``path`` exists and holds anything; what it holds stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield aside
        os.chmod(aside, 0o755)  # mkdtemp makes it private
        os.replace(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
