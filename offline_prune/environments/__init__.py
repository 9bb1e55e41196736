"""Environments: what gymnasium does not have itself, registered on import."""

from __future__ import annotations

from offline_prune.environments.atari import ATARI_GAMES, atari, register_atari
from offline_prune.environments.minatar import MINATAR_GAMES, MinAtar, register_minatar
from offline_prune.environments.procgen import (
    PROCGEN_GAMES,
    PROCGEN_MODES,
    Procgen,
    register_procgen,
)

__all__ = [
    "ATARI_GAMES",
    "MINATAR_GAMES",
    "PROCGEN_GAMES",
    "PROCGEN_MODES",
    "MinAtar",
    "Procgen",
    "atari",
    "register_atari",
    "register_minatar",
    "register_procgen",
]

register_atari()
register_minatar()
register_procgen()
