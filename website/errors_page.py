"""Hook: the list of errors in ``docs/errors.md``, made from the classes and from what raises them.

The page says of every error what it means, which built-in one it is too, and the messages with
which the package raises it, as they are in its source: ``…`` stands for what a message fills in.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from offline_prune import errors

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

__all__ = ["MARK", "error_list", "messages", "on_page_markdown"]

ROOT = Path(__file__).parent.parent
MARK = "<!-- every error -->"


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Put the list where the page has its mark."""
    return markdown.replace(MARK, error_list()) if page.file.src_uri == "errors.md" else markdown


def error_list() -> str:
    """Every class of ``offline_prune/errors.py`` as Markdown, in the order of its ``__all__``."""
    said = messages(ROOT / "offline_prune")
    return "\n".join(_entry(name, said.get(name, [])) for name in errors.__all__)


def messages(package: Path) -> dict[str, list[str]]:
    """What a package says when it raises an error.

    Args:
        package: Its folder.

    Returns:
        Name of a class → messages that are written where it is raised, sorted, each once.
    """
    found = defaultdict(set)
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                text = _text(node.args[0])
                if text and node.func.id in errors.__all__ and " " in text:
                    found[node.func.id].add(text)
    return {name: sorted(texts) for name, texts in found.items()}


def _entry(name: str, said: list[str]) -> str:
    error = getattr(errors, name)
    also = [base.__name__ for base in error.__mro__ if base.__module__ == "builtins"][:-3]
    own = [base.__name__ for base in error.__bases__ if base.__module__ == errors.__name__]
    kinds = [*(f"[`{base}`](#{base.lower()})" for base in own), *(f"`{base}`" for base in also)]
    lines = [f"## {name}", "", _first_paragraph(error), ""]
    if kinds:
        lines += [f"Caught as {', '.join(kinds)} too.", ""]
    if said:
        lines += [f'??? quote "{len(said)} message{"s" * (len(said) > 1)}"', ""]
        lines += [f"    - <code>{_escaped(text)}</code>" for text in said] + [""]
    return "\n".join(lines)


def _first_paragraph(error: type) -> str:
    return (inspect.getdoc(error) or "").partition("\n\n")[0].replace("``", "`")


def _text(node: ast.expr) -> str | None:
    """A string of the source with ``…`` for every value; None for another expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return None


def _escaped(text: str) -> str:
    """Text inside an HTML element inside Markdown, which would read signs of its own there."""
    return "".join(c if c.isalnum() or c in " …" else f"&#{ord(c)};" for c in text)
