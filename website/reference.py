"""Hook: a page of reference for every room that users call, made from docstrings.

A page holds what is in the room's ``__all__``, functions first. A name that several rooms have is
written out in the first of them; the others lead there.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import isfunction

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from website.rooms import ROOMS

__all__ = ["on_files", "reference_pages"]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for uri, text in reference_pages(ROOMS).items():
        files.append(File.generated(config, uri, content=text))
    return files


def reference_pages(rooms: Mapping[str, str]) -> dict[str, str]:
    """Pages of reference.

    Args:
        rooms: Module → title.

    Returns:
        Source in the site → Markdown for mkdocstrings.
    """
    homes: dict[object, str] = {}
    pages = {}
    for room, title in rooms.items():
        module = import_module(room)
        lines = [f"# {title}", "", f"`{room}`", "", f"::: {room}", "    options:"]
        lines += ["      members: false", "      show_root_heading: false"]
        lines += ["      show_root_toc_entry: false", ""]
        elsewhere = []
        named = {name: getattr(module, name) for name in module.__all__}
        for name in sorted(named, key=lambda n: (not isfunction(named[n]), n.lower())):
            value = named[name]
            key = id(value) if callable(value) else f"{room}.{name}"
            if key in homes:
                elsewhere.append(f"[`{name}`][{homes[key]}]")
            else:
                homes[key] = f"{room}.{name}"
                lines += [f"::: {room}.{name}", ""]
        if elsewhere:
            lines += ["## On other pages", "", ", ".join(elsewhere), ""]
        pages[f"reference/{room.removeprefix('offline_prune.').replace('.', '-')}.md"] = "\n".join(
            lines
        )
    return pages
