"""By what is an agent judged: rollouts, held-out episodes, both?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from offline_prune.base.arguments import finite_number, shown
from offline_prune.base.expression import parse
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.evaluation.rollouts import check_episodes

__all__ = [
    "DEFAULT_EPISODES",
    "DEFAULT_HELD_OUT",
    "EvaluationPlan",
    "check_evaluate",
    "check_held_out",
    "planned",
]

DEFAULT_EPISODES = 10
DEFAULT_HELD_OUT = 0.2
"""Of the episodes, where an off-policy evaluation is asked for."""

_KINDS = ("env", "ope", "both")


@dataclass(frozen=True)
class EvaluationPlan:
    """By what an agent is judged.

    Attributes:
        episodes: Rollouts in the environment.
        off_policy: Whether held-out episodes judge it too.
    """

    episodes: int
    off_policy: bool


def planned(evaluate: int | str) -> EvaluationPlan:
    """Read what is asked of an evaluation.

    Args:
        evaluate: A number of rollouts; ``"env"``, ten of them; ``"ope"``, an off-policy evaluation
            and no rollouts; ``"both"``; with another number ``"env(20)"``, ``"both(20)"``.

    Returns:
        The plan.

    Raises:
        InputError: If it is none of these.
    """
    if not isinstance(evaluate, str):
        return EvaluationPlan(check_episodes(evaluate), off_policy=False)
    if evaluate.strip().isdigit():  # as it is typed on a command line
        return EvaluationPlan(check_episodes(int(evaluate)), off_policy=False)
    found = parse(evaluate, "evaluation", "10, 'env', 'ope', 'both' or 'both(20)'")
    if found.name not in _KINDS:
        raise UnknownNameError("evaluation", found.name, _KINDS)
    numbers = found.arguments
    if found.options or len(numbers) > (found.name != "ope"):
        raise InputError(
            f"{shown(evaluate)} is no evaluation: 'env' and 'both' take a number of rollouts,"
            " 'both(20)', and 'ope' takes none."
        )
    episodes: Any = 0
    if found.name != "ope":
        episodes = numbers[0] if numbers else DEFAULT_EPISODES
    return EvaluationPlan(check_episodes(episodes), off_policy=found.name != "env")


def check_evaluate(evaluate: int | str) -> int | str:
    """Check what is asked of an evaluation.

    Args:
        evaluate: As :func:`planned` takes it.

    Returns:
        It in its plain form: digits as a number.

    Raises:
        InputError: If it is no such thing.
    """
    plan = planned(evaluate)
    if isinstance(evaluate, str) and not evaluate.strip().isdigit():
        return evaluate
    return plan.episodes


def check_held_out(fraction: float) -> float:
    """Check which part of the episodes is held out.

    Args:
        fraction: Of the episodes, in (0, 1).

    Returns:
        It, a float.

    Raises:
        InputError: If it is none.
    """
    found = finite_number("held_out", fraction)
    if not 0.0 < found < 1.0:
        raise InputError(
            f"held_out is the fraction of the episodes to judge by, in (0, 1), not {fraction!r}:"
            " some must be held out, and some be left to learn from."
        )
    return found
