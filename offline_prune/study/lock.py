"""One process at a time writes a study's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from offline_prune.base.atomic import refused_write
from offline_prune.errors import OutputDirectoryError

__all__ = ["locked"]


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a folder's lock; the system lets it go when the process ends, however.

    Args:
        directory: The folder; it is made if it is missing.

    Raises:
        OutputDirectoryError: If another process holds it, or it cannot be made.
    """
    path = directory / ".lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path).acquire(blocking=False)
    except Timeout as error:
        holder = ""
        with suppress(OSError):
            holder = path.read_text().strip()
        raise OutputDirectoryError(
            f"Another process ({holder or 'unknown'}) is running a sweep in {directory}."
            " Wait for it, stop it, or choose another folder."
        ) from error
    except OSError as error:
        raise refused_write(error) or OutputDirectoryError(
            f"{directory} cannot be made or written in ({error.strerror}). Choose another folder."
        ) from error
    with lock:
        with suppress(PermissionError):  # on Windows nobody writes or reads a locked file
            path.write_text(f"process {os.getpid()}\n")
        yield
