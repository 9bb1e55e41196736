"""Write aside, then rename: a file or folder is there whole or not at all.

A process that is killed while it writes leaves a folder ``.<name>-<8 hex digits>.partial``.
Nobody takes it for the real one, and the next process to write the same file or folder
removes it: who writes holds a lock, which the system lets go when the process ends, however.
A power cut is another matter: nothing waits for the disk here.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from offline_prune.base.locks import SUFFIX, lock_folder
from offline_prune.errors import OfflinePruneError, OutputDirectoryError, WriteError

__all__ = [
    "folder_aside",
    "refused_write",
    "remove_all_leftovers",
    "remove_leftovers",
    "written_aside",
    "written_aside_directory",
]

_PROBE = bytes(1 << 16)  # more than the rest of a block
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """Yield a path in a folder beside ``path``; what is written there replaces it on success.

    Args:
        path: The file to write; its folder is made if it is missing.

    Yields:
        Where to write; nothing is there yet. On any error it is removed, and a file
        already at ``path`` stays as it was.

    Raises:
        WriteError: If the disk is full or refuses.
    """
    path = Path(path)
    with folder_aside(path) as folder:
        file = folder / path.name
        yield file
        _as_the_umask_says(folder, file)
        os.replace(file, path)


@contextmanager
def written_aside_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that becomes ``path`` on success.

    Args:
        path: The folder to make; it may exist only if it is empty.

    Yields:
        Where to write. On an error the temporary folder is removed.

    Raises:
        OutputDirectoryError: If ``path`` exists and holds anything; what it holds stays.
        WriteError: If the disk is full or refuses.
    """
    path = Path(path)
    with folder_aside(path) as folder:
        yield folder
        _as_the_umask_says(folder, *folder.rglob("*"))
        try:
            os.replace(folder, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise OutputDirectoryError(
                f"{path} exists and holds something: another process wrote it meanwhile."
                " Nothing there was touched: choose another folder."
            ) from error


def remove_leftovers(path: str | Path) -> None:
    """Remove what processes that were killed had written aside for a file or folder.

    What a living process is writing is locked, and stays.

    Args:
        path: The file or folder that they were writing.
    """
    path = Path(path)
    _remove_leftovers(path.parent, re.escape(path.name))


def remove_all_leftovers(folder: Path) -> None:
    """Remove what processes that were killed had written aside for anything in a folder.

    Args:
        folder: The folder; it need not exist.
    """
    _remove_leftovers(folder, ".+")


def refused_write(error: BaseException) -> WriteError | None:
    """Tell a disk that refuses from other errors.

    Args:
        error: What was raised.

    Returns:
        The ``WriteError`` among the error and its causes, or one that stands for an
        ``OSError`` among them which says that there is no room; None if there is neither.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, WriteError):
            return cause
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            refusal = WriteError(
                f"{cause.filename or 'A file'} could not be written"
                f" ({os.strerror(cause.errno)}). Free some space, then do it again."
            )
            refusal.errno = cause.errno
            return refusal
        cause = cause.__cause__
    return None


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, which is removed at the end, however it ends.

    Args:
        path: What it is for; its folder is made if it is missing.

    Yields:
        The folder.

    Raises:
        WriteError: If the disk is full or refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        folder, release = _make(path)
    except OSError as error:
        raise _refusal(path, error) from error
    try:
        yield folder
    except OfflinePruneError:
        raise
    except Exception as error:
        reason = error if isinstance(error, OSError) else None
        if reason is None or reason.errno is None:
            # Many writers in C say no more than that they failed: ask the disk itself.
            reason = _disk_error(folder) or reason
        if reason is None:
            raise
        raise _refusal(path, reason) from error
    finally:
        reason = None  # else it holds itself, and a refused file open, which takes its room
        shutil.rmtree(folder, ignore_errors=True)
        release()


def _remove_leftovers(folder: Path, name: str) -> None:
    """``name``: of the files and folders that were being written, as a regular expression."""
    ours = re.compile(rf"(\.{name}-[0-9a-f]{{8}}\.partial)(?:{re.escape(SUFFIX)})?")
    with suppress(OSError):
        for found in {match[1] for match in map(ours.fullmatch, os.listdir(folder)) if match}:
            with suppress(OSError):
                release = lock_folder(folder / found, wait=False)
                if release is not None:
                    try:
                        shutil.rmtree(folder / found)
                    finally:
                        release()


def _make(path: Path) -> tuple[Path, Callable[[], None]]:
    """A new folder beside a path, locked, and what lets the lock go."""
    while True:
        folder = path.with_name(f".{path.name}-{secrets.token_hex(4)}.partial")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        with suppress(FileNotFoundError):  # taken for a leftover before it was locked
            release = lock_folder(folder, wait=True)
            if release is not None:
                if folder.exists():
                    return folder, release
                release()


def _as_the_umask_says(folder: Path, *written: Path) -> None:
    """Some writers make files that only their owner can read."""
    mode = folder.stat().st_mode & 0o666
    for path in written:
        if path.is_file():
            path.chmod(mode)


def _disk_error(folder: Path) -> OSError | None:
    """What the disk says to a few bytes more; None if it takes them."""
    try:
        for file in [*(p for p in folder.rglob("*") if p.is_file()), folder / "probe"]:
            with file.open("ab", buffering=0) as stream:
                written = 0
                while written < len(_PROBE):
                    written += stream.write(_PROBE[written:]) or 0
    except OSError as error:
        return error
    return None


def _refusal(path: Path, error: OSError) -> WriteError:
    # Some libraries put a page of their own words where the system has a few.
    reason = os.strerror(error.errno) if error.errno else error
    refusal = WriteError(
        f"{path} could not be written ({reason}). What was there before is"
        " untouched, and nothing was left half-written. Free some space or choose another"
        " place, then do it again."
    )
    refusal.errno = error.errno
    return refusal
