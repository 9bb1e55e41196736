"""Pages: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from offline_prune.evaluation.statistics import LEAST_DENSE_SCORE, RETAINED
from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.figures import Drawing
from offline_prune.reporting.overview import overview
from offline_prune.reporting.tables import failed_table, overall_table, task_table

__all__ = ["page", "render"]


def page(analysis: Analysis, figures: Mapping[str, Drawing], directory: Path) -> str:
    """Write the page of a study.

    Args:
        analysis: The study.
        figures: Name of its files → figure, in order.
        directory: Where their SVG files are.

    Returns:
        HTML.
    """
    return render(
        "page.html",
        directory,
        figures,
        name=analysis.name,
        facts=overview(analysis),
        least_dense_score=LEAST_DENSE_SCORE,
        retained=RETAINED,
        overall=overall_table(analysis),
        tables=[task_table(analysis, task) for task in analysis.tasks],
        failed=failed_table(analysis),
    )


def render(
    template: str, directory: Path, figures: Mapping[str, Drawing], **content: object
) -> str:
    """Fill a template in.

    Every text that comes from a file is escaped, and figures are images, so that nothing in
    a record can become markup.

    Args:
        template: Its file.
        directory: Where the figures' SVG files are.
        figures: Name of its files → figure, in order.
        **content: What else the template shows.

    Returns:
        HTML.
    """
    environment = Environment(
        loader=PackageLoader("offline_prune.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    images = {
        name: base64.b64encode((directory / f"{name}.svg").read_bytes()).decode("ascii")
        for name in figures
    }
    return environment.get_template(template).render(figures=figures, images=images, **content)
