"""What a trained agent is worth, by averaged weights and the last ones; it is lost to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import in_one_line
from offline_prune.evaluation.evaluation import Evaluation, not_evaluated
from offline_prune.evaluation.off_policy.evaluation import DEFAULT_FITS, evaluate_off_policy
from offline_prune.evaluation.plan import planned
from offline_prune.evaluation.rollouts import evaluate
from offline_prune.run.averaging import LastWeights, acting_weights, load_acting_weights
from offline_prune.run.preparation import Prepared

__all__ = ["Judged", "judge"]


class Judged(NamedTuple):
    """An evaluated agent.

    Attributes:
        evaluation: Of the weights it acts by.
        last: The last weights and theirs, where it acts by an average.
        interruption: What interrupted the evaluation, if anything did.
    """

    evaluation: Evaluation
    last: LastWeights | None
    interruption: BaseException | None


def judge(agent: Agent, prepared: Prepared, average: Mapping[str, Any] | None) -> Judged:
    """Evaluate the trained agent; it acts by the average from then on, if there is one.

    Args:
        agent: The agent.
        prepared: Its dataset, which knows the environment, what was held out, and what to
            judge by.
        average: Name → averaged weight of the networks that act.

    Returns:
        What it is worth.
    """
    request, data, settings = prepared.request, prepared.data, prepared.settings
    plan = planned(request.evaluate)

    def evaluated() -> Evaluation:
        try:
            return evaluate(
                agent.algo,
                data.metadata,
                plan.episodes,
                seed=request.seed,
                max_episode_steps=request.max_episode_steps,
                target_return=request.target_return,
                progress=request.progress,
            )
        except Exception as error:  # a policy that fails is still a trained one
            return not_evaluated(f"the policy failed ({in_one_line(error)})")

    evaluation = of_last = not_evaluated("it was interrupted")
    weights = None if average is None else acting_weights(agent.algo)
    interruption: BaseException | None = None
    try:
        if average is not None:
            of_last = evaluated()
            load_acting_weights(agent.algo, average)
        evaluation = evaluated()
        if plan.off_policy and prepared.held_out is not None:
            found = evaluate_off_policy(
                agent.algo,
                data,
                prepared.held_out,
                n_steps=settings.ope_steps or settings.n_steps,
                fits=settings.ope_fits or DEFAULT_FITS,
                progress=request.progress,
            )
            evaluation = replace(evaluation, off_policy=found)
    except (KeyboardInterrupt, SystemExit) as error:
        interruption = error
    if average is not None:
        load_acting_weights(agent.algo, average)
    last = None if weights is None else LastWeights(weights, of_last)
    return Judged(evaluation, last, interruption)
