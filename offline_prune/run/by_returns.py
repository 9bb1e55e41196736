"""Does a sparsity keep the dense agent's score, by rollouts?"""

from __future__ import annotations

from collections.abc import Sequence

from offline_prune.data import Dataset
from offline_prune.errors import InputError
from offline_prune.evaluation.statistics import ratio_to_dense
from offline_prune.run.candidates import ReturnsCandidate
from offline_prune.run.trials import Sparsity, Trials

__all__ = ["ByReturns"]


class ByReturns:
    """Compares pruned and dense agents of the same seeds by their scores."""

    def __init__(
        self,
        trials: Trials,
        data: Dataset,
        dense: Sparsity,
        episodes: int,
        seeds: Sequence[int],
        further: Sequence[int],
        *,
        retain: float,
        level: float,
    ) -> None:
        """Prepare; nothing is trained.

        Args:
            trials: Trains agents.
            data: Their dataset, all of it.
            dense: The sparsity of a dense agent.
            episodes: Rollouts of an agent.
            seeds: Of the search.
            further: Seeds that it does not see.
            retain: Part of the dense score that must be kept.
            level: Of the intervals.
        """
        self._trials, self._dense, self._episodes = trials, dense, episodes
        self._seeds, self._further = seeds, further
        self._retain, self._level = retain, level
        returns = data.episode_returns
        self._low, self._high = float(returns.min()), float(returns.max())
        self._scored = data.metadata.normalized_score(0.0) is not None
        self._scores: dict[tuple[str, int], float] = {}

    @property
    def unit(self) -> str:
        """What a score is."""
        if self._scored:
            return "normalized score"
        return f"return from {self._low:.4g} (0) to {self._high:.4g} (1), the dataset's episodes"

    def candidate(self, sparsity: Sparsity) -> ReturnsCandidate:
        """A sparsity and the dense agents of the same seeds.

        Args:
            sparsity: Of all networks, or role → sparsity.

        Returns:
            What was found.

        Raises:
            InputError: If agents cannot be evaluated, or the dense one learns nothing.
        """
        return self._beside_dense(sparsity, self._seeds)

    def confirmed(self, sparsity: Sparsity) -> ReturnsCandidate:
        """The same on further seeds."""
        return self._beside_dense(sparsity, self._further)

    def _beside_dense(self, sparsity: Sparsity, seeds: Sequence[int]) -> ReturnsCandidate:
        dense = [self._score(self._dense, seed) for seed in seeds]
        pruned = [self._score(sparsity, seed) for seed in seeds]
        found = ratio_to_dense({"task": pruned}, {"task": dense}, level=self._level)
        return ReturnsCandidate(
            sparsity=sparsity,
            accepted=found.low >= self._retain,
            scores=tuple(pruned),
            dense=tuple(dense),
            ratio=found.value,
            low=found.low,
            high=found.high,
        )

    def _score(self, sparsity: Sparsity, seed: int) -> float:
        """Score of the agent of a sparsity and a seed."""
        key = (repr(sparsity), seed)
        if key not in self._scores:
            evaluation = self._trials.result(sparsity, seed, self._episodes).evaluation
            if evaluation.mean_return is None:
                raise InputError(
                    f"sparsity='auto' compares returns, and agents cannot be evaluated here:"
                    f" {evaluation.reason}. Ask for evaluate='ope' to judge by held-out episodes."
                )
            score = evaluation.normalized_score
            if score is None:
                score = (evaluation.mean_return - self._low) / ((self._high - self._low) or 1.0)
            self._scores[key] = score
        return self._scores[key]
