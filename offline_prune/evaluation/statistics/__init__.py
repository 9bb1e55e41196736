"""Statistics of runs: few seeds, several tasks, and how sure one may be.

Scores are given as task → runs: one number a seed, the same scale in every task
(normalised scores). Intervals are ``value ± t · e``: e is the standard error by the
stratified bootstrap (seeds are drawn with replacement within each task, tasks stay as they
are), times ``sqrt(n / (n − 1))`` for the n seeds of the smallest task, of which the
bootstrap sees too little spread; t is Student's quantile of as many degrees of freedom as
there are seeds beyond one a task. Percentile intervals of five seeds cover 90 % where they
promise 95; these 94 to 97 (``tests/evaluation/test_coverage.py``). A probability of improvement has
Newcombe's interval: where no run of one side beats one of the other no resample does either.

References:
    Agarwal, Schwarzer, Castro, Courville, Bellemare 2021, Deep reinforcement learning at
    the edge of the statistical precipice, arXiv 2108.13264. Hesterberg 2015, What teachers
    should know about the bootstrap, arXiv 1411.5279 (why small samples need t and the factor).
"""

from __future__ import annotations

from offline_prune.evaluation.statistics.aggregates import (
    LEAST_DENSE_SCORE,
    interquartile_mean,
    ratio_to_dense,
)
from offline_prune.evaluation.statistics.effects import hedges_g
from offline_prune.evaluation.statistics.families import holm, verdicts_together
from offline_prune.evaluation.statistics.improvement import probability_of_improvement
from offline_prune.evaluation.statistics.intervals import RETAINED, Estimate, Verdict, half_width
from offline_prune.evaluation.statistics.profile import Profile, performance_profile
from offline_prune.evaluation.statistics.scores import (
    Scores,
    final_window_mean,
    iqm,
)

__all__ = [
    "LEAST_DENSE_SCORE",
    "RETAINED",
    "Estimate",
    "Profile",
    "Scores",
    "Verdict",
    "final_window_mean",
    "half_width",
    "hedges_g",
    "holm",
    "interquartile_mean",
    "iqm",
    "performance_profile",
    "probability_of_improvement",
    "ratio_to_dense",
    "verdicts_together",
]
