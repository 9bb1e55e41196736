"""What evaluating a policy came out with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offline_prune.evaluation.off_policy import OffPolicyEvaluation

__all__ = ["Evaluation", "not_evaluated"]


@dataclass(frozen=True)
class Evaluation:
    """Undiscounted returns of a policy, or why there are none, and what the data say of it.

    Attributes:
        returns: Return of each episode; None where not evaluated.
        mean_return: Their mean.
        std_return: Their standard deviation (over episodes, denominator n).
        normalized_score: ``(mean − reference_min) / (reference_max − reference_min)``,
            as in Minari: 0 is a random policy, 1 the reference expert; None without
            reference scores.
        seeds: Seed each episode's environment was reset with.
        reason: Why there is no evaluation; None where there is one.
        cut: Episodes that did not end by themselves and were cut at a limit of steps.
        successes: Whether each episode reached its goal, by what the environment says:
            ``info["success"]`` or ``info["is_success"]`` was true after any of its steps.
            None where the environment never said either.
        off_policy: What held-out episodes say; None where it was not asked for.

    References:
        Gymnasium-Robotics (robotics.farama.org) says ``success`` in its mazes and Adroit
        tasks, ``is_success`` in Fetch and hand tasks. Its default episodes go on at the goal,
        and mazes set another one, so the flag of the last step alone would say little.

    Examples:
        >>> from offline_prune import Evaluation
        >>> returns = (90.0, 110.0)
        >>> print(Evaluation(returns, mean_return=100.0, std_return=10.0, normalized_score=0.5))
        100.0 ± 10.0, normalized score 0.500
    """

    returns: tuple[float, ...] | None
    mean_return: float | None
    std_return: float | None
    normalized_score: float | None
    seeds: tuple[int, ...] = ()
    reason: str | None = None
    cut: int = 0
    successes: tuple[bool, ...] | None = None
    off_policy: OffPolicyEvaluation | None = None

    @property
    def success_rate(self) -> float | None:
        """Fraction of the episodes that reached their goal, in [0, 1]; None where not told."""
        return None if self.successes is None else sum(self.successes) / len(self.successes)

    def __str__(self) -> str:
        """``mean ± std`` over the episodes, score, success; or "not evaluated" and why."""
        rolled_out = self._rolled_out()
        return rolled_out if self.off_policy is None else f"{rolled_out}\n{self.off_policy}"

    def _rolled_out(self) -> str:
        if self.mean_return is None:
            return f"not evaluated: {self.reason}"
        score = self.normalized_score
        tail = "" if score is None else f", normalized score {score:.3f}"
        if self.success_rate is not None:
            tail += f", success rate {self.success_rate:.0%}"
        if self.cut:
            tail += f"; {self.cut} episode{'s' if self.cut > 1 else ''} cut at the limit of steps"
        return f"{self.mean_return:.1f} ± {self.std_return:.1f}{tail}"


def not_evaluated(reason: str) -> Evaluation:
    """An evaluation that did not take place.

    Args:
        reason: Why.

    Returns:
        An evaluation without numbers.

    Examples:
        >>> from offline_prune.evaluation import not_evaluated
        >>> evaluation = not_evaluated("the simulator is being mended")
        >>> evaluation.mean_return is None, evaluation.reason
        (True, 'the simulator is being mended')
    """
    return Evaluation(None, None, None, None, reason=reason)
