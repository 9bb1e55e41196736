"""A report's folder: new, or in the place of an older report, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    found = {entry.name for entry in path.iterdir()}
    others = sorted(found - _written(path))
    if others:
        raise OutputDirectoryError(
            f"{path} holds what no report wrote: {', '.join(others[:5])}. Choose a new folder, or"
            " move that away."
        )


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its place on success.

    Args:
        path: The report's folder.

    Yields:
        Where to write. On an error that folder is removed, and an older report stays.

    Raises:
        OutputDirectoryError: If ``path`` holds what no report wrote.
    """
    check_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        new, old = aside / "new", aside / "old"
        new.mkdir()
        yield new
        names = sorted(entry.name for entry in new.iterdir())
        manifest = {"format": 1, "files": names}
        (new / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        check_folder(path)  # it may have changed since
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(new, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _written(path: Path) -> set[str]:
    """The files that a report says it wrote; none without its manifest."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return {MANIFEST, *manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()
