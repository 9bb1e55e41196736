"""One process at a time writes a study's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offline_prune.base.atomic import refused_write
from offline_prune.errors import OutputDirectoryError

try:
    import fcntl
except ImportError:  # not on Windows; records are written whole all the same
    fcntl = None  # type: ignore[assignment]

__all__ = ["locked"]


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a folder's lock; the system lets it go when the process ends, however.

    Args:
        directory: The folder; it is made if it is missing.

    Raises:
        OutputDirectoryError: If another process holds it, or it cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("a+")
    except OSError as error:
        raise refused_write(error) or OutputDirectoryError(
            f"{directory} cannot be made or written in ({error.strerror}). Choose another folder."
        ) from error
    with lock as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise OutputDirectoryError(
                    f"Another process ({file.read().strip() or 'unknown'}) is running a sweep"
                    f" in {directory}. Wait for it, stop it, or choose another folder."
                ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield
