"""Prune offline-RL networks from the fixed dataset, before d3rlpy trains them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_prune.base import notices  # noqa: F401 - first: it lets d3rlpy in without a banner
from offline_prune.base.lazy import lazily

if TYPE_CHECKING:
    from offline_prune.agents import Agent as Agent
    from offline_prune.data import Dataset as Dataset
    from offline_prune.data import load_dataset as load_dataset
    from offline_prune.engines import CompactEngine as CompactEngine
    from offline_prune.engines import MaskedEngine as MaskedEngine
    from offline_prune.errors import OfflinePruneError as OfflinePruneError
    from offline_prune.evaluation import Evaluation as Evaluation
    from offline_prune.evaluation import evaluate as evaluate
    from offline_prune.export import export_policy as export_policy
    from offline_prune.masks import Mask as Mask
    from offline_prune.pops import ShrinkResult as ShrinkResult
    from offline_prune.pops import prune_and_shrink as prune_and_shrink
    from offline_prune.reporting import report as report
    from offline_prune.reporting import report_run as report_run
    from offline_prune.run.early_stopping import EarlyStopping as EarlyStopping
    from offline_prune.run.early_stopping import StopTraining as StopTraining
    from offline_prune.run.online import prune_online as prune_online
    from offline_prune.run.pipeline import prune as prune
    from offline_prune.run.pipeline import prune_then_train as prune_then_train
    from offline_prune.run.pipeline import score as score
    from offline_prune.run.result import PruneResult as PruneResult
    from offline_prune.run.scored import ScoredAgent as ScoredAgent
    from offline_prune.study.sweep import sweep as sweep

__version__ = "0.2.0"

# The command line answers before torch and d3rlpy are imported.
__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "Agent": "agents",
        "CompactEngine": "engines",
        "Dataset": "data",
        "EarlyStopping": "run.early_stopping",
        "Evaluation": "evaluation",
        "Mask": "masks",
        "MaskedEngine": "engines",
        "OfflinePruneError": "errors",
        "PruneResult": "run.result",
        "ScoredAgent": "run.scored",
        "ShrinkResult": "pops",
        "StopTraining": "run.early_stopping",
        "evaluate": "evaluation",
        "export_policy": "export",
        "load_dataset": "data",
        "prune": "run.pipeline",
        "prune_and_shrink": "pops",
        "prune_online": "run.online",
        "prune_then_train": "run.pipeline",
        "report": "reporting",
        "report_run": "reporting",
        "score": "run.pipeline",
        "sweep": "study",
    },
)
