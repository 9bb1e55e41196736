"""The command line: the words of the Python interface."""

from __future__ import annotations

from offline_prune.cli.commands import main

__all__ = ["main"]
