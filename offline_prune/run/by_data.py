"""Is a pruned policy as close to the dense one as another seed, by held-out episodes alone?"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from offline_prune.data import Dataset
from offline_prune.errors import DatasetError, InputError
from offline_prune.evaluation.off_policy.agreement import disagreement
from offline_prune.evaluation.off_policy.behaviour import behaviour_value
from offline_prune.evaluation.off_policy.paired import paired_difference
from offline_prune.run.candidates import DataCandidate
from offline_prune.run.trials import Sparsity, Trials

__all__ = ["ByData", "check_held_out_episodes"]


def check_held_out_episodes(held_out: Dataset, gamma: float) -> None:
    """Refuse held-out episodes that cannot tell policies apart.

    Args:
        held_out: The episodes.
        gamma: Discount.

    Raises:
        DatasetError: If there are fewer than two, or all earned the same.
    """
    if len(held_out.ends) < 2:
        raise DatasetError(
            "Only one episode is held out, and an interval over held-out episodes needs two at"
            " least. Hold more out (held_out=0.5), or collect more."
        )
    if not behaviour_value(held_out, gamma).range:
        raise DatasetError(
            "All held-out episodes earned the same, so there is no range to measure differences"
            " of policies by. Hold more out, or give the sparsity."
        )


class ByData:
    """Compares pruned and dense agents of one seed by what held-out episodes say of them.

    The noise is that of dense agents of several seeds. What is accepted is a policy that acts
    no farther from the dense one than they do from one another, and whose fitted values
    are shown to be lower by no more than what may be lost.
    """

    def __init__(
        self, trials: Trials, held_out: Dataset, dense: Sparsity, seeds: Sequence[int],
        *, retain: float, level: float,
    ) -> None:  # fmt: skip
        """Train the dense agents.

        Args:
            trials: Trains agents, without the held-out episodes.
            held_out: These.
            dense: The sparsity of a dense agent.
            seeds: Of the dense agents; the first is that of pruned ones too.
            retain: 1 − the part of the behaviour's range that may be lost.
            level: Of the intervals.
        """
        self._trials, self._held_out, self._seed = trials, held_out, seeds[0]
        self._retain, self._level = retain, level
        self._dense = trials.result(dense, seeds[0], "ope")
        others = [trials.result(dense, seed, 0).algo for seed in seeds[1:]]
        pairs = itertools.combinations([self._dense.algo, *others], 2)
        self._noise = statistics.fmean(self._apart(one, other) for one, other in pairs)

    @property
    def unit(self) -> str:
        """What a difference is measured in."""
        return "the range of the behaviour's discounted returns"

    def candidate(self, sparsity: Sparsity) -> DataCandidate:
        """A sparsity beside the dense agents.

        Args:
            sparsity: Of all networks, or role → sparsity.

        Returns:
            What was found.
        """
        result = self._trials.result(sparsity, self._seed, "ope")
        ours, theirs = result.evaluation.off_policy, self._dense.evaluation.off_policy
        if ours is None or theirs is None:  # interrupted runs raise before
            raise InputError("The evaluation of an agent is missing from its result.")
        apart = self._apart(result.algo, self._dense.algo)
        difference = low = high = None
        if ours.is_possible and theirs.is_possible:
            found = paired_difference(
                ours.fits, theirs.fits, scale=theirs.behaviour.range, level=self._level
            )
            difference, low, high = found.value, found.low, found.high
        worth_it = low is not None and low >= self._retain - 1.0
        return DataCandidate(
            sparsity=sparsity,
            accepted=worth_it and apart <= self._noise,
            disagreement=apart,
            noise=self._noise,
            difference=difference,
            low=low,
            high=high,
        )

    def confirmed(self, sparsity: Sparsity) -> None:
        """Nothing: there are no further episodes."""

    def _apart(self, one: Any, other: Any) -> float:
        return disagreement(one, other, self._held_out).value
