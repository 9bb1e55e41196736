"""report: a study's folder as tables, figures and one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from offline_prune.base.arguments import folder_path
from offline_prune.reporting.analysis import Analysis, analyse
from offline_prune.reporting.csv_files import write_csv_files
from offline_prune.reporting.figures import FIGURES, Drawing
from offline_prune.reporting.figures.canvas import require_matplotlib, save, styled
from offline_prune.reporting.folder import check_folder, replaced_folder
from offline_prune.reporting.page import page

__all__ = ["Report", "report"]

_PAGE = "index.html"


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes:
        directory: Its folder.
        page: The page, which needs none of the other files.
        figures: PNG and SVG files.
        tables: CSV files.
        analysis: The numbers.

    Examples:
        >>> import tempfile
        >>> from offline_prune import sweep, report
        >>> folder = tempfile.TemporaryDirectory()
        >>> study = sweep(
        ...     "pendulum/mixture-v0", "bc", [0.0, 0.9], "snip", seeds=2, out=f"{folder.name}/s",
        ...     n_steps=20, evaluate=1, evaluations=1, progress=False,
        ... )
        >>> sorted(path.name for path in report(study.directory).tables)
        ['curves.csv', 'layers.csv', 'summary.csv']
        >>> folder.cleanup()
    """

    directory: Path
    page: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    analysis: Analysis


def report(directory: str | Path, out: str | Path | None = None) -> Report:
    """Write the report of a study, finished or not.

    Interquartile means with 95 % intervals of the stratified bootstrap, ratios to dense
    over pairs of seeds, probabilities of improvement: see
    :mod:`offline_prune.evaluation.statistics`. The same records give the same bytes.

    Args:
        directory: The folder that ``sweep`` wrote.
        out: Where to write: a new folder, or that of an older report, which is replaced
            once the new one is whole; ``directory/report`` if left out.

    Returns:
        The files and the numbers.

    Raises:
        OutputDirectoryError: If ``directory`` is not the folder of a study or holds no
            cell, or ``out`` holds what no report wrote.
        InputError: If a record is not as ``sweep`` writes it, or an argument is no folder.
        WriteError: If the disk is full or refuses; an older report stays.
        OfflinePruneError: If matplotlib is not installed.

    Examples:
        >>> import tempfile
        >>> from offline_prune import sweep, report
        >>> folder = tempfile.TemporaryDirectory()
        >>> study = sweep(
        ...     "pendulum/mixture-v0", "bc", [0.0, 0.9], "snip", seeds=2, out=f"{folder.name}/s",
        ...     n_steps=20, evaluate=1, evaluations=1, progress=False,
        ... )
        >>> written = report(study.directory)
        >>> written.page.name, len(written.analysis.runs)
        ('index.html', 4)
        >>> folder.cleanup()
    """
    directory = folder_path("directory", directory)
    target = directory / "report" if out is None else folder_path("out", out)
    require_matplotlib()
    check_folder(target)
    analysis = analyse(directory)
    with replaced_folder(target) as aside:
        tables = write_csv_files(analysis, aside)
        figures: dict[str, Drawing] = {}
        with styled():
            for name, draw in FIGURES.items():
                drawing = draw(analysis)
                if drawing is not None:
                    save(drawing.figure, aside / name)
                    figures[name] = drawing
        (aside / _PAGE).write_text(page(analysis, figures, aside), encoding="utf-8")
    return Report(
        target,
        target / _PAGE,
        tuple(target / f"{name}.{kind}" for name in figures for kind in ("png", "svg")),
        tuple(target / name for name in tables),
        analysis,
    )
