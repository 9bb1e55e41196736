"""Prune offline-RL networks from the fixed dataset, before d3rlpy trains them."""

from __future__ import annotations

from offline_prune import quiet  # noqa: F401 - first: it imports d3rlpy in silence
from offline_prune.agents import Agent
from offline_prune.data import Dataset, load_dataset
from offline_prune.early_stopping import EarlyStopping, StopTraining
from offline_prune.engines import CompactEngine, MaskedEngine
from offline_prune.errors import OfflinePruneError
from offline_prune.evaluation import Evaluation, evaluate
from offline_prune.masks import Mask
from offline_prune.online import prune_online
from offline_prune.pipeline import prune, prune_then_train, score
from offline_prune.pops import ShrinkResult, prune_and_shrink
from offline_prune.reporting import report
from offline_prune.result import PruneResult
from offline_prune.scored import ScoredAgent
from offline_prune.study import sweep

__all__ = [
    "Agent",
    "CompactEngine",
    "Dataset",
    "EarlyStopping",
    "Evaluation",
    "Mask",
    "MaskedEngine",
    "OfflinePruneError",
    "PruneResult",
    "ScoredAgent",
    "ShrinkResult",
    "StopTraining",
    "evaluate",
    "load_dataset",
    "prune",
    "prune_and_shrink",
    "prune_online",
    "prune_then_train",
    "report",
    "score",
    "sweep",
]

__version__ = "0.1.0"
