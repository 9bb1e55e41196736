"""A report's folder: new, or in the place of an older report, which is never lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from offline_prune.base.atomic import folder_aside
from offline_prune.base.locks import lock_folder
from offline_prune.errors import OutputDirectoryError

__all__ = ["MANIFEST", "check_folder", "replaced_folder"]

MANIFEST = "report.json"
"""Names the files of a report, so that nothing else is ever replaced."""


def check_folder(path: Path) -> None:
    """Refuse a folder that holds anything but an older report.

    Args:
        path: Where a report is to go.

    Raises:
        OutputDirectoryError: If it is a file, or holds what no report wrote.
    """
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not path.is_dir():
        raise OutputDirectoryError(f"{path} is no folder. Choose a new one for the report.")
    written = _written(path)
    others = sorted(e.name for e in path.iterdir() if e.is_dir() or e.name not in written)
    if others:
        raise OutputDirectoryError(
            f"{path} holds what no report wrote: {', '.join(others[:5])}. Choose a new folder, or"
            " move that away."
        )


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` whose files take the place of an older report.

    Where there is no report yet, the new one appears whole. An older one is replaced file by
    file once all of the new one is written: at every moment each file is the old or the new
    one, whole, and a process that is killed meanwhile leaves some of both. The next report
    replaces them, and removes what the killed one had written aside. Of two reports that are
    written at once, the one that is done last replaces the other whole.

    Args:
        path: The report's folder.

    Yields:
        Where to write. On an error that folder is removed, and an older report stays.

    Raises:
        OutputDirectoryError: If ``path`` holds what no report wrote.
        WriteError: If the disk is full or refuses.
    """
    check_folder(path)
    with folder_aside(path) as aside:
        new = aside / "new"
        new.mkdir()
        yield new
        names = {entry.name for entry in new.iterdir()}
        _write_manifest(new, names)
        check_folder(path)  # it may have changed since
        try:
            os.replace(new, path)
        except OSError:
            if not path.is_dir():
                raise
        else:
            return
        with _alone_in(path):
            check_folder(path)
            older = {entry.name for entry in path.iterdir()}
            _write_manifest(aside, names | older)  # whoever is killed leaves nothing unknown
            os.replace(aside / MANIFEST, path / MANIFEST)
            # New names first: they alone need room, in the folder itself.
            for name in sorted(names, key=lambda name: (name in older, name)):
                os.replace(new / name, path / name)
            for name in older - names - {MANIFEST}:
                (path / name).unlink(missing_ok=True)
            os.replace(new / MANIFEST, path / MANIFEST)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other report is moving its files there: milliseconds."""
    release = lock_folder(folder, wait=True)
    try:
        yield
    finally:
        if release is not None:
            release()


def _write_manifest(folder: Path, names: Iterable[str]) -> None:
    manifest = {"format": 1, "files": sorted({*names} - {MANIFEST})}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _written(path: Path) -> set[str]:
    """The files that a report says it wrote; none without its manifest."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return {MANIFEST, *manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()
