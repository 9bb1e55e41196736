"""Locks of folders, which the system lets go when their holder ends, however it ends.

Where there is ``fcntl`` the lock is on the folder itself and leaves no trace. Elsewhere (Windows)
``filelock`` holds a file beside it, ``<folder>.lock``, which goes with the lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

__all__ = ["SUFFIX", "lock_folder"]

SUFFIX = ".lock"
"""Of the file beside a folder, where the folder itself cannot be locked."""


def lock_folder(folder: Path, *, wait: bool) -> Callable[[], None] | None:
    """Take a folder's lock.

    Args:
        folder: The folder.
        wait: Whether to wait for another process that holds it. A file system without locks gives
            one all the same then: nobody can take it from its holder.

    Returns:
        What lets it go; None if another process holds it, or nobody can.

    Raises:
        OSError: If the folder cannot be opened; FileNotFoundError if it is not there.
    """
    if fcntl is None:
        return _lock_beside(folder, wait)
    handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if not wait:
            os.close(handle)
            return None
    return partial(os.close, handle)


def _lock_beside(folder: Path, wait: bool) -> Callable[[], None] | None:
    from filelock import FileLock, Timeout

    path = folder.with_name(folder.name + SUFFIX)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        return None

    def release() -> None:
        lock.release()
        with suppress(OSError):  # the next one has it already
            path.unlink()

    return release
