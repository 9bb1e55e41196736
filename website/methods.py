"""Hook: a page for every pruning method, and links to them from the list of all methods.

A page says in a sentence what the method does; it has its row of ``docs/methods.md`` (formula,
cost), a call that runs, a picture of the mask that this call makes, drawn while the site is built,
and the method's docstring.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from offline_prune.methods import METHODS, MODIFIERS
from website.mask_picture import mask_picture
from website.method_runs import METHOD_RUNS, made_by

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

__all__ = ["method_page", "on_files", "on_page_markdown", "row_of"]

LIST = Path(__file__).parent.parent / "docs" / "methods.md"
_HEADINGS = {
    "score": "score, the highest stay",
    "cost": "cost, in gradient steps of the dense agent, on one scoring mini-batch",
}
_SYMBOLS = "What the letters of formulas mean is [said once for all methods](../methods.md)."
_NAME = re.compile(r"^\| `(\w+)(?:\([a-z, ]*\))?`", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name in (*METHODS, *MODIFIERS):
        files.append(File.generated(config, f"methods/{name}.md", content=method_page(name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Let the names in the tables of all methods lead to their pages."""
    if page.file.src_uri != "methods.md":
        return markdown
    return _NAME.sub(_led, markdown)


def method_page(name: str) -> str:
    """The page of a method.

    Args:
        name: A key of ``METHODS`` or ``MODIFIERS``.

    Returns:
        Markdown for mkdocstrings.
    """
    row = row_of(name, LIST.read_text(encoding="utf-8"))
    facts = [f"- **{_HEADINGS.get(heading, heading)}**: {cell}" for heading, cell in row.items()]
    run = METHOD_RUNS[name]
    parts = [
        f"# {name}",
        run.lead,
        "\n".join(facts),
        "## A small run",
        "```python\n" + run.code + "\n```",
        mask_picture(made_by(run), run.note),
        "## In detail",
        *([_SYMBOLS] if "score" in row else []),
        f"::: {_home(name)}\n    options:\n      show_root_heading: false\n"
        "      show_root_toc_entry: false\n      members: false\n      heading_level: 3",
        "[All methods](../methods.md), [which one for what](../which-method.md).",
    ]
    return "\n\n".join(parts) + "\n"


def row_of(name: str, text: str) -> dict[str, str]:
    """What a table says of a method.

    Args:
        name: The method.
        text: Markdown with tables, a method a row.

    Returns:
        Heading → cell, of the first table that has it, empty cells left out.
    """
    heading: list[str] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|---"):
            heading = _cells(before)[1:]
        found = _NAME.match(line)
        if found and found[1] == name:
            return {h: c for h, c in zip(heading, _cells(line)[1:], strict=True) if c}
        before = line
    return {}


def _led(match: re.Match[str]) -> str:
    if match[1] not in {**METHODS, **MODIFIERS}:
        return match[0]  # an option, a metric
    return match[0].replace("`", "[`", 1) + f"](methods/{match[1]}.md)"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _home(name: str) -> str:
    """Where the docstring is: that of a saliency where the method is made of one."""
    made: Any = METHODS.get(name) or MODIFIERS[name]
    if isinstance(made, partial):
        made = made.args[0]
    return f"{made.__module__}.{made.__qualname__}"
