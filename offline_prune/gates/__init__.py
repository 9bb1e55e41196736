"""Bernoulli gates: a random factor 0 or 1 on every unit, its probability learned."""

from __future__ import annotations

from offline_prune.gates.bernoulli import bernoulli_gate, gate_weight
from offline_prune.gates.budget import step_probabilities
from offline_prune.gates.layer import GatedLayer

__all__ = [
    "GatedLayer",
    "bernoulli_gate",
    "gate_weight",
    "step_probabilities",
]
