"""What a policy may be worth, by everything that held-out episodes can say."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from offline_prune.base.arguments import in_one_line, whole_number
from offline_prune.base.diagram import Diagram, legend_beside
from offline_prune.base.progress import ProgressBar
from offline_prune.data import Dataset
from offline_prune.errors import AlgorithmError, NonFiniteError
from offline_prune.evaluation.off_policy.agreement import Disagreement, distance_from_data
from offline_prune.evaluation.off_policy.behaviour import BehaviourValue, behaviour_value
from offline_prune.evaluation.off_policy.fitted_q import FittedQ, fitted_q_evaluation
from offline_prune.evaluation.off_policy.importance import (
    WeightedImportance,
    weighted_importance_sampling,
)
from offline_prune.evaluation.off_policy.policy import check_policy
from offline_prune.evaluation.off_policy.propensities import estimated_propensities
from offline_prune.evaluation.off_policy.td_error import mean_td_error

__all__ = ["DEFAULT_FITS", "OffPolicyEvaluation", "evaluate_off_policy"]

DEFAULT_FITS = 5
EPSILON = 0.05
"""ε of the greedy policy that importance weights are those of."""


@dataclass(frozen=True)
class OffPolicyEvaluation(Diagram):
    """Estimates of a policy's worth from fixed data; none replaces a rollout.

    Attributes:
        fits: Fitted Q evaluations of seeds 0, 1, …; empty where they diverged.
        behaviour: Discounted returns of the held-out episodes: what the fitted values stand
            beside.
        from_data: How far the policy acts from the recorded actions.
        td_error: Mean squared TD error of the agent's own critics, in squared units of
            scaled rewards; None where it has none.
        importance: Weighted importance sampling with estimated propensities; None for
            continuous actions.
        reason: Why there are no fits; None where there are.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import evaluate_off_policy, split_episodes
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "bc", sparsity=0.5, algo_params=small)
        >>> evaluation = evaluate_off_policy(agent.algo, rest, held_out, n_steps=20, fits=2)
        >>> numbers = evaluation.to_dict()
        >>> numbers["held_out_episodes"], len(numbers["fitted_q_of_seeds"])
        (30, 2)
    """

    fits: tuple[FittedQ, ...]
    behaviour: BehaviourValue
    from_data: Disagreement
    td_error: float | None
    importance: WeightedImportance | None
    reason: str | None = None

    @property
    def value(self) -> float | None:
        """Mean of the fits, in the data's unit, discounted; None without any."""
        return statistics.fmean(fit.value for fit in self.fits) if self.fits else None

    @property
    def is_possible(self) -> bool:
        """Whether there are fits and all their values are ones that rewards can add up to."""
        return bool(self.fits) and all(fit.is_possible for fit in self.fits)

    def __str__(self) -> str:
        """Value, spread of the fits, and the behaviour's value."""
        if self.value is None:
            return f"no fitted value: {self.reason}"
        means = [fit.value for fit in self.fits]
        spread = f" ({len(means)} fits, {min(means):.4g} to {max(means):.4g})"
        doubt = "" if self.is_possible else ", which rewards cannot add up to: the fit diverged"
        behaviour = self.behaviour
        return (
            f"fitted Q evaluation {self.value:.4g}{spread}{doubt}; the behaviour"
            f" {behaviour.value:.4g}; discounted by {behaviour.gamma:g}, over"
            f" {len(behaviour.values)} held-out episodes"
        )

    def to_dict(self) -> dict[str, Any]:
        """The numbers that are no lists over episodes, ready for JSON."""
        importance = self.importance
        return {
            "fitted_q": self.value,
            "fitted_q_of_seeds": [fit.value for fit in self.fits],
            "is_possible": self.is_possible,
            "gamma": self.behaviour.gamma,
            "held_out_episodes": len(self.behaviour.values),
            "behaviour": self.behaviour.value,
            "distance_from_data": self.from_data.value,
            "distance_unit": self.from_data.unit,
            "td_error": self.td_error,
            "weighted_importance": None if importance is None else importance.value,
            "effective_episodes": None if importance is None else importance.effective_episodes,
            "no_fits": self.reason,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> OffPolicyEvaluation:
        """Read what ``dataclasses.asdict`` made of it and JSON kept.

        Args:
            content: Its fields, lists in the place of tuples.

        Returns:
            The evaluation.
        """
        importance = content["importance"]
        return cls(
            fits=tuple(_with_tuples(FittedQ, fit) for fit in content["fits"]),
            behaviour=_with_tuples(BehaviourValue, content["behaviour"]),
            from_data=_with_tuples(Disagreement, content["from_data"]),
            td_error=content["td_error"],
            importance=importance and _with_tuples(WeightedImportance, importance),
            reason=content["reason"],
        )

    def _draw(self, axes: Any) -> None:
        """Calibration: fitted values of initial states against what followed in the data."""
        recorded = self.behaviour.values
        for fit in self.fits:
            axes.plot(recorded, fit.values, "o", markersize=3, label=f"fit {fit.seed}")
        both = [min(recorded), max(recorded)]
        axes.plot(both, both, color="black", linewidth=0.8, label="equal")
        axes.set(
            xlabel="discounted return of the recorded episode",
            ylabel="fitted value of its first state",
        )
        legend_beside(axes)


def evaluate_off_policy(
    algo: Any,
    data: Dataset,
    held_out: Dataset,
    *,
    n_steps: int,
    fits: int = DEFAULT_FITS,
    progress: bool = False,
) -> OffPolicyEvaluation:
    """Evaluate a policy without trying it.

    Args:
        algo: A built d3rlpy algorithm; left as it is.
        data: What it was trained on: without the held-out episodes.
        held_out: The episodes that judge it.
        n_steps: Gradient steps of each fitted Q function, and of the imitation of the behaviour.
        fits: Fitted Q functions, of seeds 0, 1, ….
        progress: Whether to show a progress bar.

    Returns:
        All that they say.

    Raises:
        AlgorithmError: If it is not a policy of single observations of these data.
        InputError: If a number is of the wrong kind.

    References:
        Those of the parts; Voloshin et al. 2021, Empirical study of off-policy policy
        evaluation, arXiv 1911.06854, on why there is more than one.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import evaluate_off_policy, split_episodes
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "bc", sparsity=0.5, algo_params=small)
        >>> evaluation = evaluate_off_policy(agent.algo, rest, held_out, n_steps=20, fits=2)
        >>> len(evaluation.fits), evaluation.td_error  # BC has no critics
        (2, None)
    """
    fits = whole_number("fits", fits, 1)
    check_policy(algo, held_out)
    gamma = algo.gamma
    fitted: list[FittedQ] = []
    reason = None
    with ProgressBar("Fitting Q functions", fits, "fits", show=progress) as bar:
        try:
            for seed in range(fits):
                fitted.append(fitted_q_evaluation(algo, data, held_out, n_steps=n_steps, seed=seed))
                bar.advance()
        except NonFiniteError as error:
            fitted, reason = [], in_one_line(error)
    importance = td_error = None
    if data.metadata.action_kind == "discrete":
        propensities = estimated_propensities(data, held_out, n_steps=n_steps)
        importance = weighted_importance_sampling(
            algo, held_out, propensities, gamma=gamma, epsilon=EPSILON
        )
    with contextlib.suppress(AlgorithmError):  # no critics
        td_error = mean_td_error(algo, held_out)
    return OffPolicyEvaluation(
        fits=tuple(fitted),
        behaviour=behaviour_value(held_out, gamma),
        from_data=distance_from_data(algo, held_out),
        td_error=td_error,
        importance=importance,
        reason=reason,
    )


def _with_tuples(kind: type[Any], content: Mapping[str, Any]) -> Any:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in content.items()})
