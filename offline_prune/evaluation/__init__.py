"""Evaluation: what the pruned policy is worth."""

from __future__ import annotations

from offline_prune.evaluation.rollouts import Evaluation, evaluate, not_evaluated

__all__ = ["Evaluation", "evaluate", "not_evaluated"]
