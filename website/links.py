"""Links between the repository's files, as they are written, to where the site has those files.

The documents are written for a reader of the repository: ``../benchmarks/results/games.md``.
The site is made of ``docs/``; whatever else its pages lead to comes along under ``repository/``,
so that every link works without the name of any host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["address", "is_page", "linked_files", "relinked", "shown_as_code"]

CODE = (".py", ".toml", ".txt")
_FENCE = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r'(\]\(|src=")(?![a-z]+:|#)([^)#"\s]+)')


def address(file: str) -> str:
    """Where the site has a file of the repository.

    Args:
        file: Its path from the repository's root, with ``/``.

    Returns:
        The path of its source in the site: documents as they are, notebooks and code as pages.
    """
    if file.startswith("docs/"):
        return file.removeprefix("docs/")
    if file.endswith(".ipynb"):
        return file.removesuffix(".ipynb") + ".md"
    if shown_as_code(file) or "." not in posixpath.basename(file):  # a folder is a listing
        return f"repository/{file}.md"
    return f"repository/{file}"


def is_page(file: str) -> bool:
    """Whether the site shows a file as a page, and does not hand it over as it is."""
    return address(file).endswith(".md")


def shown_as_code(file: str) -> bool:
    """Whether a file is shown as it was written, in a block of code."""
    return file.endswith(CODE)


def relinked(text: str, page: str) -> str:
    """A document with its links as the site needs them; blocks of code stay.

    Args:
        text: Markdown.
        page: The document's path from the repository's root.

    Returns:
        The same with every relative link rewritten.
    """
    here = posixpath.dirname(address(page))

    def moved(match: re.Match[str]) -> str:
        return match[1] + posixpath.relpath(address(_target(match[2], page)), here or ".")

    return _outside_code(text, lambda part: _LINK.sub(moved, part))


def linked_files(root: Path, pages: Iterable[str]) -> set[str]:
    """What documents lead to, and what the documents among that lead to, and so on.

    Args:
        root: The repository.
        pages: Documents to begin with, from the root on.

    Returns:
        Files and folders from the root on, those of ``docs/`` left out.
    """
    found: set[str] = set()
    waiting = list(pages)
    while waiting:
        page = waiting.pop()
        if not page.endswith((".md", ".ipynb")):
            continue
        text = _FENCE.sub("", (root / page).read_text(encoding="utf-8"))
        for _, link in _LINK.findall(text):
            file = _target(link, page)
            if file not in found and (root / file).exists():
                found.add(file)
                waiting.append(file)
    return {file for file in found if not file.startswith("docs/")}


def _target(link: str, page: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    parts = _FENCE.split(text)
    return "".join(part if part.lstrip().startswith("```") else change(part) for part in parts)
