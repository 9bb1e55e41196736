"""What a command answers: a table, or plain numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table

__all__ = ["answer"]


def answer(numbers: Mapping[str, Any], table: Table, as_json: bool) -> None:
    """Print a result.

    Args:
        numbers: Ready for JSON.
        table: The same for readers.
        as_json: Whether the numbers are wanted.
    """
    if as_json:
        click.echo(json.dumps(numbers))
    else:
        Console().print(table)
