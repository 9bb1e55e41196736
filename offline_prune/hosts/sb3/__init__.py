"""Stable-Baselines3: prune its agents while they train."""

from offline_prune.hosts.sb3.callback import PruningCallback

__all__ = ["PruningCallback"]
