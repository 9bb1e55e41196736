"""What is known of a dataset beside its transitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from offline_prune.data.observations import ObservationLayout
from offline_prune.errors import ActionSpaceError

__all__ = ["ActionKind", "Actions", "DatasetMetadata"]

ActionKind = Literal["continuous", "discrete"]


@dataclass(frozen=True)
class Actions:
    """An action space that d3rlpy can train on.

    Attributes:
        kind: Continuous vectors or discrete indices.
        size: Length of the vector, or number of actions.
        start: The environment's first discrete action; stored actions count from 0.
        low: Lower bounds of a continuous action, shape (size,).
        high: Upper bounds.
    """

    kind: ActionKind
    size: int
    start: int = 0
    low: NDArray[np.float32] | None = None
    high: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, space: gymnasium.Space[Any]) -> Actions:
        """Read an action space.

        Args:
            space: A Box of one dimension, or Discrete.

        Returns:
            What it says.

        Raises:
            ActionSpaceError: If it is anything else.
        """
        if isinstance(space, gymnasium.spaces.Discrete):
            return cls("discrete", int(space.n), int(space.start))
        if (
            isinstance(space, gymnasium.spaces.Box)
            and len(space.shape) == 1
            and space.shape[0] > 0
            and np.dtype(space.dtype).kind == "f"
        ):
            low, high = (np.asarray(b, dtype=np.float32) for b in (space.low, space.high))
            return cls("continuous", int(space.shape[0]), 0, low, high)
        raise ActionSpaceError(
            f"d3rlpy cannot train on the action space {space}. Expected a float Box of"
            " shape (n,), or Discrete(n); wrap the environment so that it has one and"
            " collect the dataset with it."
        )


@dataclass(frozen=True)
class DatasetMetadata:
    """What is known of a dataset beside its transitions.

    Attributes:
        dataset_id: Minari id; None where there is none.
        env_spec: The environment to evaluate in; None where it is not known.
        observation_space: The environment's, as the dataset declares it.
        action_space: The environment's, as the dataset declares it.
        observation_layout: How raw observations become arrays.
        action_kind: Continuous or discrete.
        action_size: Length of the action vector, or number of actions.
        action_start: The environment's first discrete action.
        action_low: Lower bounds, shape (action_size,), of continuous actions.
        action_high: Upper bounds.
        observation_shape: Shape of one observation as the networks see it.
        episodes: Number of episodes.
        steps: Number of transitions.
        mean_return: Mean undiscounted return of the episodes.
        std_return: Their standard deviation.
        reference_min: Mean return of a random policy; None where not given.
        reference_max: Mean return of the reference expert; None where not given.
        longest_episode: Steps of the longest episode; None where not known.
        best_return: Highest undiscounted return of an episode; None where not known.
        rewards_recorded: Whether the source has rewards; else they are 0 everywhere.
        frame_stack: Frames that an observation is stacked of, the newest last, zeros before
            an episode's first.

    Examples:
        >>> from offline_prune import load_dataset
        >>> metadata = load_dataset("pendulum/mixture-v0").metadata
        >>> metadata.episodes, metadata.steps, metadata.env_spec.id
        (150, 30000, 'Pendulum-v1')
        >>> print(f"{metadata.normalized_score(metadata.mean_return):.2f}")
        0.76
    """

    dataset_id: str | None
    env_spec: EnvSpec | None
    observation_space: gymnasium.Space[Any] | None
    action_space: gymnasium.Space[Any] | None
    observation_layout: ObservationLayout
    action_kind: ActionKind
    action_size: int
    action_start: int
    action_low: NDArray[np.float32] | None
    action_high: NDArray[np.float32] | None
    observation_shape: tuple[int, ...]
    episodes: int
    steps: int
    mean_return: float
    std_return: float
    reference_min: float | None = None
    reference_max: float | None = None
    longest_episode: int | None = None
    best_return: float | None = None
    rewards_recorded: bool = True
    frame_stack: int = 1

    def normalized_score(self, mean_return: float) -> float | None:
        """Score on the scale of the reference policies.

        Formula: ``(return − reference_min) / (reference_max − reference_min)``, as
        Minari's ``get_normalized_score``: 0 is a random policy, 1 the reference expert.

        Args:
            mean_return: An undiscounted return.

        Returns:
            The score; None without reference scores, or where they are the same.
        """
        low, high = self.reference_min, self.reference_max
        if low is None or high is None or low == high:
            return None
        return (mean_return - low) / (high - low)
