"""``offline-prune sweep``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from offline_prune.study.sweep import SweepResult

__all__ = ["command"]


def command(
    grid: Annotated[Path, typer.Argument(help="A grid in TOML.")],
    out: Annotated[Path, typer.Option(help="The study's folder, new or to go on with.")],
    workers: Annotated[int, typer.Option(help="Runs side by side, one thread each.")] = 1,
    backend: Annotated[str, typer.Option(help="local or ray.")] = "local",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run cells that failed before again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the grid, list its cells and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain numbers.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run a grid of datasets, algorithms, methods, sparsities and seeds.

    A sweep that was stopped goes on with the same command.
    """
    from offline_prune.study.grid import read_grid
    from offline_prune.study.records import read_record
    from offline_prune.study.sweep import check_waiting, run_cells

    cells = read_grid(grid)
    if dry_run:
        records = {cell.id: read_record(out, cell.id) for cell in cells}
        check_waiting(cells, records, retry_failed)
        for cell in cells:
            state = (records[cell.id] or {"status": "to do"})["status"]
            click.echo(f"{cell.id} {state:6} {cell}")
        return
    try:
        result = run_cells(
            cells,
            out,
            workers=workers,
            backend=backend,
            retry_failed=retry_failed,
            progress=not (quiet or as_json),
        )
    except KeyboardInterrupt:
        done = sum(read_record(out, cell.id) is not None for cell in cells)
        click.echo(
            f"Stopped: {done} of {len(cells)} cells are done. The same command goes on where"
            " it stopped.",
            err=True,
        )
        raise
    if as_json:
        click.echo(json.dumps(result.rows))
    else:
        Console().print(_table(result))
        click.echo(f"Wrote {result.directory / 'table.csv'}")
    if result.n_failed:
        click.echo(
            f"{result.n_failed} of {len(cells)} cells failed; 'error' in the table says why."
            " Run again with --retry-failed once that is mended.",
            err=True,
        )
        raise typer.Exit(1)


def _table(result: SweepResult) -> Table:
    """Means over the seeds of each combination."""
    table = Table(title=f"{result.n_run} cells ran, {result.n_skipped} were done before")
    for heading in ("dataset", "algo", "method"):
        table.add_column(heading)
    numbers = ["sparsity", "effective", "seeds", "failed", "return", "score"]
    goals = any(row["final_window_success_rate"] is not None for row in result.rows)
    for heading in [*numbers, "success"] if goals else numbers:
        table.add_column(heading, justify="right")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in result.rows:
        sparsity = row["sparsity_by_network"] or f"{row['sparsity']:g}"
        key = (row["dataset"], row["algo"], row["method"], sparsity)
        groups.setdefault(key, []).append(row)
    for key, rows in groups.items():
        failed = sum(row["status"] != "ok" for row in rows)
        table.add_row(
            *key,
            _mean(rows, "effective_sparsity", ".2%"),
            str(len(rows)),
            str(failed) if failed else "",
            _mean(rows, "final_window_mean_return", ".1f"),
            _mean(rows, "final_window_normalized_score", ".3f"),
            *([_mean(rows, "final_window_success_rate", ".0%")] if goals else ()),
        )
    return table


def _mean(rows: list[dict[str, Any]], column: str, form: str) -> str:
    values = [row[column] for row in rows if row[column] is not None]
    return format(sum(values) / len(values), form) if values else ""
