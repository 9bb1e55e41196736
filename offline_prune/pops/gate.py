"""Gates: whether a student is still good enough."""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from offline_prune.data import Dataset, DatasetMetadata
from offline_prune.errors import EnvironmentUnavailableError, InputError
from offline_prune.evaluation.rollouts import evaluate
from offline_prune.pops.teacher import Teacher

__all__ = ["AgreementGate", "EnvironmentGate", "Gate"]

_SEEDS = 1_000_000
"""First seed of a gate's episodes, counted from the run's; evaluations begin at the run's."""

_STATES = 5_000
_CHUNK = 1_024


@runtime_checkable
class Gate(Protocol):
    """Scores students. Any object with these four may be passed as ``gate=``.

    Attributes:
        objective: Score from which on a student is good.
        lower_bound: Score below which pruning pauses until the student has recovered.
        description: The measure, in words.

    Examples:
        >>> from offline_prune.pops import Gate
        >>> class Smallest:
        ...     objective, lower_bound, description = 0.0, -1.0, "how small the first action is"
        ...     def score(self, algo):
        ...         return -abs(float(algo.predict(data.observations[:1])[0, 0]))
        >>> isinstance(Smallest(), Gate)  # prune_and_shrink(…, gate=Smallest())
        True
    """

    objective: float
    lower_bound: float
    description: str

    def score(self, algo: Any) -> float:
        """Score a student; higher is better.

        Args:
            algo: The student, a built d3rlpy algorithm; to be left as it is.
        """
        ...


class EnvironmentGate:
    """The mean return of a few episodes in the dataset's environment.

    Episodes of every evaluation have new seeds, none of which the evaluations of
    teacher and result use.

    Attributes:
        objective: In units of return; without a wish ``T − .05 · |T − floor|``: the
            teacher's mean return, less a twentieth of its distance from a random policy.
        lower_bound: Without a wish ``objective − .10 · |T − floor|``.
        description: The measure, in words.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.pops import EnvironmentGate
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> gate = EnvironmentGate(data.metadata, teacher_return=-200.0, episodes=2)
        >>> gate.objective < -200.0  # a twentieth of the way to a random policy below the teacher
        True
        >>> agent, _ = prune(data, "bc", sparsity=0.9)
        >>> gate.score(agent.algo) < 0  # the mean return of two episodes
        True
    """

    def __init__(
        self,
        metadata: DatasetMetadata,
        *,
        teacher_return: float,
        episodes: int = 20,
        objective: float | None = None,
        lower_bound: float | None = None,
        seed: int = 0,
    ) -> None:
        """Prepare; where the floor is needed and unknown, roll a random policy out.

        Args:
            metadata: The dataset's; names the environment.
            teacher_return: T, the teacher's mean return.
            episodes: Of one evaluation.
            objective: Return from which on a student is good.
            lower_bound: Return below which pruning pauses.
            seed: Of the run.

        Raises:
            InputError: If the bounds are not finite or the wrong way round.
            EnvironmentUnavailableError: If the environment cannot be made here.
        """
        self._metadata, self._episodes = metadata, episodes
        self._seed = seed + _SEEDS
        reach = 0.0
        if objective is None or lower_bound is None:
            floor = metadata.reference_min
            if floor is None:
                floor = self.score(_UniformActions(metadata, seed))
            reach = abs(teacher_return - floor)
        self.objective, self.lower_bound = _bounds(
            teacher_return - 0.05 * reach if objective is None else objective,
            lower_bound,
            0.10 * reach,
        )
        name = "the environment" if metadata.env_spec is None else metadata.env_spec.id
        self.description = f"mean return of {episodes} episodes of {name}, new seeds each time"

    def score(self, algo: Any) -> float:
        """The mean return of the next episodes.

        Args:
            algo: A built d3rlpy algorithm.

        Raises:
            EnvironmentUnavailableError: If the environment cannot be made here.
        """
        found = evaluate(algo, self._metadata, self._episodes, seed=self._seed)
        self._seed += self._episodes
        if found.mean_return is None:
            raise EnvironmentUnavailableError(str(found.reason))
        return found.mean_return


class AgreementGate:
    """How far a student agrees with its teacher on held-out episodes.

    Discrete: the fraction of states in which both take the same action. Continuous:
    ``1 − mean |a − a_T| / 2`` over actions in [−1, 1]. Both in [0, 1].

    Attributes:
        objective: .95 without a wish.
        lower_bound: ``objective − .10`` without a wish.
        description: The measure, in words.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import split_episodes
        >>> from offline_prune.pops import AgreementGate
        >>> from offline_prune.pops.teacher import Teacher
        >>> rest, held_out = split_episodes(load_dataset("pendulum/mixture-v0"), 0.2, seed=0)
        >>> agent, _ = prune(rest, "bc", sparsity=0.9)
        >>> agent.engine.detach()
        >>> gate = AgreementGate(Teacher.of(agent.algo, rest), held_out)
        >>> gate.objective, round(gate.score(agent.algo), 4)  # a teacher agrees with itself
        (0.95, 1.0)
    """

    def __init__(
        self,
        teacher: Teacher,
        held_out: Dataset,
        *,
        objective: float | None = None,
        lower_bound: float | None = None,
    ) -> None:
        """Note the teacher's actions.

        Args:
            teacher: The teacher.
            held_out: Episodes that students do not learn on; up to 5 000 of their
                states, evenly spaced, are compared.
            objective: Agreement from which on a student is good.
            lower_bound: Agreement below which pruning pauses.

        Raises:
            InputError: If the bounds are not finite or the wrong way round.
        """
        rows = np.linspace(0, len(held_out) - 1, min(len(held_out), _STATES))
        buffer = held_out.buffer
        self._states = buffer.observations_at(buffer.rows[rows.round().astype(np.int64)])
        self._discrete = teacher.policy.discrete
        self._expected = self._actions(teacher.algo)
        self.objective, self.lower_bound = _bounds(
            0.95 if objective is None else objective, lower_bound, 0.10
        )
        self.description = (
            f"agreement with the teacher on {len(self._states):,} states of"
            f" {len(held_out.ends)} held-out episodes"
        )

    def score(self, algo: Any) -> float:
        """The agreement.

        Args:
            algo: A built d3rlpy algorithm with the teacher's scalers.
        """
        found = self._actions(algo)
        if self._discrete:
            return float(np.mean(found == self._expected))
        return float(1.0 - np.abs(found - self._expected).mean() / 2.0)

    @torch.no_grad()
    def _actions(self, algo: Any) -> NDArray[Any]:
        """Greedy actions on the states: numbers, or vectors before the action scaler."""
        scaler = algo.config.observation_scaler
        found = []
        for start in range(0, len(self._states), _CHUNK):
            part = self._states[start : start + _CHUNK]
            x = torch.tensor(part, dtype=torch.float32, device=algo.impl.device)
            x = x if scaler is None else scaler.transform(x)
            found.append(algo.impl.predict_best_action(x).cpu().numpy())
        return np.concatenate(found)


class _UniformActions:
    """A policy that acts uniformly at random."""

    def __init__(self, metadata: DatasetMetadata, seed: int) -> None:
        self._metadata = metadata
        self._generator = np.random.default_rng(seed)

    def predict(self, observations: NDArray[Any]) -> NDArray[Any]:
        metadata, count = self._metadata, len(observations)
        if metadata.action_kind == "discrete":
            return self._generator.integers(metadata.action_size, size=count)
        bounds = np.array([metadata.action_low, metadata.action_high], dtype=np.float64)
        if not np.isfinite(bounds).all():  # unknown ones, None, become NaN
            bounds = np.array([-1.0, 1.0])
        return self._generator.uniform(bounds[0], bounds[1], (count, metadata.action_size))


def _bounds(objective: float, lower_bound: float | None, reach: float) -> tuple[float, float]:
    lower = objective - reach if lower_bound is None else lower_bound
    if not (math.isfinite(objective) and math.isfinite(lower) and lower <= objective):
        raise InputError(
            f"A gate's objective and lower_bound are finite numbers, the lower bound not above"
            f" the objective; found objective={objective} and lower_bound={lower}."
        )
    return float(objective), float(lower)
