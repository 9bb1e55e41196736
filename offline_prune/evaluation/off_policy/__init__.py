"""Off-policy evaluation: what a policy is worth where it cannot be tried.

Values are in the data's unit of reward, discounted, of the greedy
policy; all of them are estimates from the same fixed data, and none replaces a rollout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_prune.base.lazy import lazily

if TYPE_CHECKING:
    from offline_prune.evaluation.off_policy.agreement import Disagreement as Disagreement
    from offline_prune.evaluation.off_policy.agreement import disagreement as disagreement
    from offline_prune.evaluation.off_policy.agreement import (
        distance_from_data as distance_from_data,
    )
    from offline_prune.evaluation.off_policy.behaviour import BehaviourValue as BehaviourValue
    from offline_prune.evaluation.off_policy.behaviour import behaviour_value as behaviour_value
    from offline_prune.evaluation.off_policy.evaluation import (
        OffPolicyEvaluation as OffPolicyEvaluation,
    )
    from offline_prune.evaluation.off_policy.evaluation import (
        evaluate_off_policy as evaluate_off_policy,
    )
    from offline_prune.evaluation.off_policy.fitted_q import FittedQ as FittedQ
    from offline_prune.evaluation.off_policy.fitted_q import (
        fitted_q_evaluation as fitted_q_evaluation,
    )
    from offline_prune.evaluation.off_policy.importance import (
        WeightedImportance as WeightedImportance,
    )
    from offline_prune.evaluation.off_policy.importance import (
        weighted_importance_sampling as weighted_importance_sampling,
    )
    from offline_prune.evaluation.off_policy.paired import paired_difference as paired_difference
    from offline_prune.evaluation.off_policy.propensities import (
        estimated_propensities as estimated_propensities,
    )
    from offline_prune.evaluation.off_policy.split import split_episodes as split_episodes
    from offline_prune.evaluation.off_policy.td_error import mean_td_error as mean_td_error

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "BehaviourValue": "behaviour",
        "Disagreement": "agreement",
        "FittedQ": "fitted_q",
        "OffPolicyEvaluation": "evaluation",
        "WeightedImportance": "importance",
        "behaviour_value": "behaviour",
        "disagreement": "agreement",
        "distance_from_data": "agreement",
        "evaluate_off_policy": "evaluation",
        "estimated_propensities": "propensities",
        "fitted_q_evaluation": "fitted_q",
        "mean_td_error": "td_error",
        "paired_difference": "paired",
        "split_episodes": "split",
        "weighted_importance_sampling": "importance",
    },
)
