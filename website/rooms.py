"""The rooms that users call."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ROOMS"]

ROOMS: Mapping[str, str] = {
    "offline_prune": "Everyday",
    "offline_prune.errors": "Errors",
    "offline_prune.data": "Data",
    "offline_prune.agents": "Agents and encoders of your own",
    "offline_prune.methods": "Methods",
    "offline_prune.masks": "Masks",
    "offline_prune.engines": "Engines",
    "offline_prune.evaluation": "Evaluation",
    "offline_prune.evaluation.statistics": "Statistics",
    "offline_prune.evaluation.off_policy": "Off-policy evaluation",
    "offline_prune.diagnostics": "Diagnostics",
    "offline_prune.export": "Export",
    "offline_prune.pops": "Prune and shrink",
    "offline_prune.study": "Studies",
    "offline_prune.reporting": "Reports",
    "offline_prune.hosts.sb3": "Stable-Baselines3",
    "offline_prune.hosts.tianshou": "tianshou",
}
"""Room → title of its page; ``mkdocs.yml`` lists the pages again, in the same order."""
