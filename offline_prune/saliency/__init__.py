"""Saliency: scores that say which weights matter. One file a score."""

from __future__ import annotations

from offline_prune.saliency.fisher import fisher
from offline_prune.saliency.grasp import grasp
from offline_prune.saliency.magnitude import magnitude
from offline_prune.saliency.objective import Objective, Saliency, Scores
from offline_prune.saliency.prospr import prospr
from offline_prune.saliency.random import random
from offline_prune.saliency.scoring import score_networks
from offline_prune.saliency.snip import snip

__all__ = [
    "SALIENCIES",
    "Objective",
    "Saliency",
    "Scores",
    "fisher",
    "grasp",
    "magnitude",
    "prospr",
    "random",
    "score_networks",
    "snip",
]

SALIENCIES: dict[str, Saliency] = {
    "snip": snip,
    "grasp": grasp,
    "fisher": fisher,
    "prospr": prospr,
    "magnitude": magnitude,
    "random": random,
}
"""Name → saliency. A new one is a file here and a line in this table."""
