"""What a trained agent is worth, by averaged weights and the last ones; it is lost to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import in_one_line
from offline_prune.data import Dataset
from offline_prune.evaluation.evaluation import Evaluation, not_evaluated
from offline_prune.evaluation.rollouts import evaluate
from offline_prune.request.requests import TrainingRequest
from offline_prune.run.averaging import LastWeights, acting_weights, load_acting_weights

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


def judge(
    agent: Agent, data: Dataset, average: Mapping[str, Any] | None, request: TrainingRequest
) -> Judged:
    """Evaluate the trained agent; it acts by the average from then on, if there is one.

    Args:
        agent: The agent.
        data: Its dataset, which knows the environment.
        average: Name → averaged weight of the networks that act.
        request: Says how many episodes.

    Returns:
        What it is worth.
    """

    def evaluated() -> Evaluation:
        try:
            return evaluate(
                agent.algo,
                data.metadata,
                request.evaluate,
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
    except (KeyboardInterrupt, SystemExit) as error:
        interruption = error
    if average is not None:
        load_acting_weights(agent.algo, average)
    last = None if weights is None else LastWeights(weights, of_last)
    return Judged(evaluation, last, interruption)
