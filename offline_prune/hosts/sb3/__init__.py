"""Stable-Baselines3 and sb3-contrib: their agents pruned while they train, and exported."""

from offline_prune.hosts.sb3.callback import PruningCallback

__all__ = ["PruningCallback"]
