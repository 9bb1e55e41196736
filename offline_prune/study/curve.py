"""The learning curve of a run: evaluations while it trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from offline_prune.data import DatasetMetadata
from offline_prune.evaluation.evaluation import Evaluation
from offline_prune.evaluation.rollouts import evaluate

__all__ = ["LearningCurve", "first_episode", "point"]

_SEEDS_A_RUN = 100_000


def first_episode(seed: int, number: int, episodes: int) -> int:
    """Seed of the first episode of an evaluation.

    No two evaluations of a run share an episode, nor do runs of different seeds; runs
    that differ in anything else meet the same episodes at the same point, so that they
    can be paired.

    Args:
        seed: Of the run.
        number: Of the evaluation, counted from the end of the run; its last one is 0.
        episodes: Episodes an evaluation.

    Returns:
        The seed; the episodes after it count up from there.
    """
    return _SEEDS_A_RUN * (seed + 1) + number * episodes


def point(step: int, evaluation: Evaluation) -> dict[str, Any]:
    """A point of the curve, ready for JSON.

    Args:
        step: Gradient steps that were done.
        evaluation: What the policy was worth then.

    Returns:
        Step, mean, normalised score, success rate, and the return of each episode.
    """
    returns = evaluation.returns
    return {
        "step": step,
        "mean_return": evaluation.mean_return,
        "normalized_score": evaluation.normalized_score,
        "success_rate": evaluation.success_rate,
        "returns": None if returns is None else list(returns),
    }


class LearningCurve:
    """Evaluates now and then, as d3rlpy's ``epoch_callback``; training does not notice.

    The last point is not its business: whoever trains evaluates the finished agent.

    Attributes:
        points: What :func:`point` makes of each evaluation.
        seconds: Time they took.
    """

    def __init__(
        self,
        metadata: DatasetMetadata,
        episodes: int,
        interval: int,
        end: int,
        seed: int,
        each_epoch: Callable[[], None] = lambda: None,
        **limits: Any,
    ) -> None:
        """Prepare.

        Args:
            metadata: Names the environment.
            episodes: Episodes a point; 0 for no evaluation.
            interval: Gradient steps between two points.
            end: Gradient steps of the run.
            seed: Of the run.
            each_epoch: Called at the end of every epoch.
            **limits: ``max_episode_steps`` and ``target_return`` of
                :func:`~offline_prune.evaluation.rollouts.evaluate`.
        """
        self._limits = limits
        self._metadata, self._episodes, self._seed = metadata, episodes, seed
        self._interval, self._end, self._each_epoch = interval, end, each_epoch
        self.points: list[dict[str, Any]] = []
        self.seconds = 0.0

    def __call__(self, algo: Any, epoch: int, step: int) -> None:
        """Evaluate, if it is time.

        Args:
            algo: The algorithm that is being trained.
            epoch: Not used.
            step: Gradient steps that are done.
        """
        self._each_epoch()
        if not self._episodes or step % self._interval or step >= self._end:
            return
        start = time.perf_counter()
        seed = first_episode(self._seed, (self._end - step) // self._interval, self._episodes)
        found = evaluate(algo, self._metadata, self._episodes, seed=seed, **self._limits)
        if found.returns is not None:
            self.points.append(point(step, found))
        self.seconds += time.perf_counter() - start

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on."""
        return {"points": list(self.points), "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.points, self.seconds = list(state["points"]), state["seconds"]
