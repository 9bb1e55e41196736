"""tianshou 2: its value networks (DQN, C51, Rainbow, QR-DQN) pruned while they train."""

from offline_prune.hosts.tianshou.pruning import Pruning

__all__ = ["Pruning"]
