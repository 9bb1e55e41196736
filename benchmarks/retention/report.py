"""The page that ``offline-prune report`` makes of all reported runs.

    python benchmarks/retention/report.py

writes ``report.html.xz``, the page packed. It is what anybody gets who unpacks the archives that
``cells.py`` names as reported into one folder, ``retention/cells``, and runs
``offline-prune report retention``.
"""

from __future__ import annotations

import lzma
import shutil
import tempfile
from pathlib import Path

from cells import FOLDER, REPORTED

import offline_prune
from offline_prune.base.atomic import written_aside

PAGE = FOLDER / "report.html.xz"


def main() -> None:
    """Write the page."""
    with written_aside(PAGE) as aside:
        aside.write_bytes(lzma.compress(page(), preset=9))


def page() -> bytes:
    """The page, of whatever cells the archives hold."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "retention"
        for name in REPORTED:
            shutil.unpack_archive(FOLDER / f"{name}.tar.xz", folder, filter="data")
            shutil.copytree(Path(folder) / name, study, dirs_exist_ok=True)
        return offline_prune.report(study).page.read_bytes()


if __name__ == "__main__":
    main()
