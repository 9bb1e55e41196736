"""Environments: what gymnasium does not have itself, registered on import."""

from __future__ import annotations

from offline_prune.environments.minatar import MINATAR_GAMES, MinAtar, register_minatar

__all__ = ["MINATAR_GAMES", "MinAtar", "register_minatar"]

register_minatar()
