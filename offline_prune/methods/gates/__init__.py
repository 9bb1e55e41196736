"""Bernoulli gates: a random factor 0 or 1 on every unit, its probability learned."""

from __future__ import annotations

from offline_prune.methods.gates.bernoulli import bernoulli_gate, gate_weight
from offline_prune.methods.gates.budget import step_probabilities
from offline_prune.methods.gates.layer import GatedLayer
from offline_prune.methods.gates.method import BernoulliGates

__all__ = [
    "BernoulliGates",
    "GatedLayer",
    "bernoulli_gate",
    "gate_weight",
    "step_probabilities",
]
