"""Where the recipes and bundled datasets are, installed or in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

__all__ = ["shipped"]


def shipped(kind: Literal["algos", "datasets"]) -> Path:
    """The folder of the recipes that ship with the package.

    Args:
        kind: Which recipes.

    Returns:
        ``offline_prune/_shipped/<kind>`` of an installed package, or ``<kind>`` at the
        top of a source checkout, where a researcher edits them.
    """
    package = Path(str(files("offline_prune")))
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent / kind
