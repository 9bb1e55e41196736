"""``offline-prune report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
import typer
from rich.console import Console

__all__ = ["command"]


def command(
    directory: Annotated[
        Path, typer.Argument(help="A folder that 'sweep --out' or 'run --out' wrote.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The report's folder; DIRECTORY/report by default.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No tables, only where it is.")] = False,
) -> None:
    """Compare the runs of a sweep, or show one run: figures and one page in a folder."""
    from offline_prune.run.folder import RESULT

    if (directory / RESULT).is_file():
        from offline_prune.reporting.one_run import report_run

        click.echo(f"Wrote {report_run(directory, out).page}")
        return
    from offline_prune.reporting.tables import failed_table, overall_table, task_table
    from offline_prune.reporting.terminal import rendered
    from offline_prune.reporting.write import report

    written = report(directory, out)
    if not quiet:
        analysis, console = written.analysis, Console()
        found = [overall_table(analysis), *(task_table(analysis, t) for t in analysis.tasks)]
        for table in (*found, failed_table(analysis)):
            if table is not None:
                console.print(rendered(table, console.width))
    click.echo(f"Wrote {written.page}")
