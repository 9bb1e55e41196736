"""Evaluation: what the pruned policy is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_prune.base.lazy import lazily

if TYPE_CHECKING:
    from offline_prune.evaluation.evaluation import Evaluation as Evaluation
    from offline_prune.evaluation.evaluation import not_evaluated as not_evaluated
    from offline_prune.evaluation.rollouts import evaluate as evaluate

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {"Evaluation": "evaluation", "evaluate": "rollouts", "not_evaluated": "evaluation"},
)
