"""Tables for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from offline_prune.reporting.tables import Table

__all__ = ["rendered"]

_REPEATED = 2  # columns that say which row it is
_FRAME = 3  # what rich puts around a cell


def rendered(table: Table, width: int) -> RenderableType:
    """Make rich tables; texts of files stay texts, whatever markup they hold.

    Args:
        table: The table.
        width: Columns of the terminal. What is wider becomes several tables, each with
            the columns that name the row.

    Returns:
        What a rich console prints.
    """
    parts = [_part(table, columns, width) for columns in _split(table, width)]
    parts[0].title = Text(table.title)
    return Group(*parts, *(Text(note, style="dim") for note in table.notes), Text(""))


def _split(table: Table, width: int) -> list[list[int]]:
    """Columns of each part, such that no number must be broken."""
    if table.words == len(table.columns):  # sentences may be
        return [list(range(len(table.columns)))]
    needed = [_least(table, n) + _FRAME for n in range(len(table.columns))]
    names = list(range(_REPEATED))
    parts = [[*names]]
    for n in range(_REPEATED, len(needed)):
        if len(parts[-1]) > _REPEATED and sum(needed[m] for m in (*parts[-1], n)) >= width:
            parts.append([*names])
        parts[-1].append(n)
    return parts


def _least(table: Table, n: int) -> int:
    """Letters of a column's longest cell; a heading may be broken between words."""
    return max(map(len, (*table.columns[n].split(), *(row[n] for row in table.rows))))


def _part(table: Table, columns: list[int], width: int) -> RichTable:
    made = RichTable(title_justify="left")
    whole = table.words < len(table.columns)
    # Left to itself rich breaks numbers, or cuts the table, before it breaks all headings.
    tight = sum(max(_least(table, n), len(table.columns[n])) + _FRAME for n in columns) >= width
    for n in columns:
        made.add_column(
            Text(table.columns[n]),
            justify="left" if n < table.words else "right",
            overflow="fold",
            min_width=_least(table, n) if whole and n >= _REPEATED else None,
            max_width=_least(table, n) if whole and tight and n >= _REPEATED else None,
        )
    for row in table.rows:
        made.add_row(*(Text(row[n]) for n in columns))
    return made
