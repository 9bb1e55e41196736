"""Prune offline-RL networks from the fixed dataset, before d3rlpy trains them."""
