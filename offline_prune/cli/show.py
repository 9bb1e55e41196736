"""``offline-prune show``: a saved run, from its words and numbers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline_prune.cli.answer import answer
from offline_prune.run.folder import read_words, saved_directory
from offline_prune.run.summary import numbers, summary_table

__all__ = ["command"]


def command(
    directory: Annotated[Path, typer.Argument(help="A folder that 'run --out' wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print plain numbers.")] = False,
) -> None:
    """Show a saved result."""
    with saved_directory(directory) as found:
        content, settings = read_words(found)
        table = summary_table(content, settings)
    answer(numbers(content), table, as_json)
