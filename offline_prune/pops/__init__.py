"""PoPS: prune a student of a trained agent, then shrink it to a small dense network."""

from __future__ import annotations

from offline_prune.pops.gate import AgreementGate, EnvironmentGate, Gate
from offline_prune.pops.loop import prune_and_shrink
from offline_prune.pops.result import Iteration, ShrinkResult

__all__ = [
    "AgreementGate",
    "EnvironmentGate",
    "Gate",
    "Iteration",
    "ShrinkResult",
    "prune_and_shrink",
]
