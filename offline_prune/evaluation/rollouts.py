"""Evaluate a policy by rollouts in the dataset's environment."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from offline_prune.base.arguments import check_seed, in_one_line, whole_number
from offline_prune.base.progress import ProgressBar
from offline_prune.base.random_state import seeded_random_state
from offline_prune.data import DatasetMetadata, ObservationLayout, make_environment
from offline_prune.data.metadata import Actions
from offline_prune.errors import EnvironmentUnavailableError, InputError
from offline_prune.evaluation.actors import chosen_target_return, make_actors
from offline_prune.evaluation.evaluation import Evaluation, not_evaluated

__all__ = ["check_environment", "check_episodes", "evaluate"]

_AT_ONCE = 32  # environments stepped together; more gain little and cost memory


def check_episodes(episodes: int) -> int:
    """Check a number of evaluation episodes.

    Args:
        episodes: The number.

    Returns:
        The same number, as Python's ``int``.

    Raises:
        InputError: If it is negative or not a whole number.
    """
    return whole_number("The number of evaluation episodes", episodes, 0)


def check_environment(metadata: DatasetMetadata) -> None:
    """Make the dataset's environment once.

    Args:
        metadata: The dataset's metadata; names the environment.

    Raises:
        EnvironmentUnavailableError: If it cannot be made here, or is not that of the data.
    """
    environment = make_environment(metadata)
    try:
        _check_matches(environment, metadata)
    finally:
        environment.close()


def evaluate(
    algo: Any,
    metadata: DatasetMetadata,
    episodes: int = 10,
    *,
    seed: int = 0,
    max_episode_steps: int | None = None,
    target_return: float | None = None,
    progress: bool = False,
) -> Evaluation:
    """Roll the greedy policy out in the dataset's environment.

    Episodes run side by side: one prediction for all of them a step. Episode i is
    reset with ``seed + i``. Actions are clipped to the bounds of the action space, which
    rounding may leave. The global random states are left as they were.

    Frames are stacked as those of the dataset are, with zeros before the first.

    Where the environment says whether a goal is reached, so does the evaluation: an episode
    succeeds if ``info["success"]`` or ``info["is_success"]`` was true after any of its steps
    (:class:`Evaluation`). Where it says so in some episodes alone, the others did not.

    Args:
        algo: A built d3rlpy algorithm.
        metadata: The dataset's metadata; names the environment.
        episodes: Number of episodes; 0 means none.
        seed: Of the first episode, and of policies that sample (BCQ, discrete transformers).
        max_episode_steps: Steps after which an episode is cut; None takes the environment's
            own limit, or without one the longest episode of the dataset.
        target_return: What a sequence model is told to reach; None takes the best return of
            the dataset.
        progress: Whether to show a progress bar.

    Returns:
        The evaluation. Without an environment here, or with one that fails, one that says
        why.

    Raises:
        InputError: If ``episodes`` or ``seed`` is no such number, the algorithm is not
            built, ``metadata`` is not a dataset's, or ``target_return`` does not fit.

    Examples:
        >>> from offline_prune import evaluate, load_dataset, prune
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> agent, _ = prune(data, "bc", sparsity=0.9)
        >>> evaluation = evaluate(agent.algo, data.metadata, episodes=2, seed=7)
        >>> len(evaluation.returns), evaluation.seeds
        (2, (7, 8))
    """
    episodes = check_episodes(episodes)
    seed = check_seed(seed)
    if max_episode_steps is not None:
        max_episode_steps = whole_number("max_episode_steps", max_episode_steps, 1)
    if not isinstance(metadata, DatasetMetadata):
        raise InputError(
            "metadata is what a dataset's .metadata holds (load_dataset(...).metadata), not"
            f" {type(metadata).__name__}."
        )
    if not callable(getattr(algo, "predict", None)) or getattr(algo, "impl", algo) is None:
        raise InputError(
            "algo is a built d3rlpy algorithm, such as result.algo; not"
            f" {type(algo).__name__}{' before it is built' if hasattr(algo, 'impl') else ''}."
        )
    if episodes == 0:
        return not_evaluated("no episodes were asked for")
    target_return = chosen_target_return(algo, metadata, target_return)
    seeds = range(seed, seed + episodes)
    returns: list[float] = []
    successes: list[bool | None] = []
    cut = 0
    try:
        with (
            seeded_random_state(seed),
            ProgressBar("Evaluating", episodes, "episodes", show=progress) as bar,
        ):
            for start in range(0, episodes, _AT_ONCE):
                batch = tuple(seeds[start : start + _AT_ONCE])
                rolled = _roll_out(algo, metadata, batch, max_episode_steps, target_return, bar)
                returns += rolled.returns
                successes += rolled.successes
                cut += rolled.cut
    except EnvironmentUnavailableError as error:
        return not_evaluated(str(error))
    mean = float(np.mean(returns))
    return Evaluation(
        returns=tuple(returns),
        mean_return=mean,
        std_return=float(np.std(returns)),
        normalized_score=metadata.normalized_score(mean),
        seeds=tuple(seeds),
        cut=cut,
        successes=None if set(successes) == {None} else tuple(map(bool, successes)),
    )


class _Rolled(NamedTuple):
    """Episodes stepped together: returns, successes (None: not told), how many were cut."""

    returns: list[float]
    successes: list[bool | None]
    cut: int


def _roll_out(
    algo: Any,
    metadata: DatasetMetadata,
    seeds: tuple[int, ...],
    limit: int | None,
    target_return: float | None,
    bar: ProgressBar,
) -> _Rolled:
    """One episode a seed."""
    environments: list[gymnasium.Env[Any, Any]] = []
    returns, rewards = np.zeros(len(seeds)), np.zeros(len(seeds))
    successes: list[bool | None] = [None] * len(seeds)
    act = make_actors(algo, len(seeds), target_return)
    cut = steps = 0
    try:
        for _ in seeds:
            environments.append(make_environment(metadata))
            if len(environments) == 1:
                _check_matches(environments[0], metadata)
        if limit is None:
            spec = environments[0].spec
            own = None if spec is None else spec.max_episode_steps
            limit = metadata.longest_episode if own is None else None
        layout = metadata.observation_layout
        before = np.zeros(metadata.observation_shape, layout.dtype)
        current = [
            _stacked(before, _reset(environment, metadata, seed))
            for environment, seed in zip(environments, seeds, strict=True)
        ]
        running = list(range(len(seeds)))
        while running:
            actions = act(running, [current[i] for i in running], rewards[running].tolist())
            steps += 1
            still = []
            for i, action in zip(running, actions, strict=True):
                frame, rewards[i], ended, success = _step(environments[i], metadata, action, steps)
                current[i] = _stacked(current[i], frame)
                returns[i] += rewards[i]
                if success is not None:
                    successes[i] = success or bool(successes[i])
                if not ended:
                    still.append(i)
            if steps == limit:
                cut, still = len(still), []
            bar.advance(len(running) - len(still))
            running = still
    finally:
        for environment in environments:
            environment.close()
    return _Rolled([float(value) for value in returns], successes, cut)


def _stacked(stack: NDArray[Any], frame: NDArray[Any]) -> NDArray[Any]:
    """The stack one step on: its oldest frame goes, the new one comes last."""
    return np.concatenate([stack[len(frame) :], frame])


def _reset(
    environment: gymnasium.Env[Any, Any], metadata: DatasetMetadata, seed: int
) -> NDArray[Any]:
    try:
        return metadata.observation_layout.flatten_one(environment.reset(seed=seed)[0])
    except Exception as error:  # whatever somebody's environment may raise
        raise _failed(environment, f"when it was reset with the seed {seed}", error) from error


def _step(
    environment: gymnasium.Env[Any, Any], metadata: DatasetMetadata, action: Any, step: int
) -> tuple[NDArray[Any], float, bool, bool | None]:
    """What follows an action: observation, reward, whether it is over, whether at the goal."""
    try:
        observation, reward, terminated, truncated, info = environment.step(
            _native(action, metadata)
        )
        reward = float(reward)
        if not np.isfinite(reward):
            raise ValueError(f"the reward is {reward}")
        flat = metadata.observation_layout.flatten_one(observation)
        told = [bool(info[key]) for key in ("success", "is_success") if key in info]
        return flat, reward, bool(terminated or truncated), any(told) if told else None
    except Exception as error:  # whatever somebody's environment may raise
        raise _failed(environment, f"in step {step}", error) from error


def _failed(
    environment: gymnasium.Env[Any, Any], when: str, error: Exception
) -> EnvironmentUnavailableError:
    name = getattr(environment.spec, "id", type(environment.unwrapped).__name__)
    return EnvironmentUnavailableError(
        f"the environment {name} failed {when} ({in_one_line(error)})"
    )


def _check_matches(environment: gymnasium.Env[Any, Any], metadata: DatasetMetadata) -> None:
    """Refuse an environment of other spaces than the dataset's.

    Raises:
        EnvironmentUnavailableError: If observations or actions have another form.
    """
    try:
        layout = ObservationLayout.of(environment.observation_space)
        actions = Actions.of(environment.action_space)
    except InputError as error:
        raise EnvironmentUnavailableError(str(error)) from error
    ours = metadata.observation_layout
    found, expected = (
        # By key: gymnasium sorts a Dict's keys in some ways to make one and in files alone.
        ({leaf.path: leaf.shape for leaf in leaves}, kind, size)
        for leaves, kind, size in (
            (layout.leaves, actions.kind, actions.size),
            (ours.leaves, metadata.action_kind, metadata.action_size),
        )
    )
    if found != expected:
        raise EnvironmentUnavailableError(
            f"the environment {getattr(environment.spec, 'id', '')} has the spaces"
            f" {environment.observation_space} and {environment.action_space}, the dataset"
            f" {metadata.observation_space} and {metadata.action_space}"
        )


def _native(action: Any, metadata: DatasetMetadata) -> Any:
    """The action as the environment takes it."""
    if metadata.action_kind == "discrete":
        return int(action) + metadata.action_start
    space = metadata.action_space
    dtype = np.float32 if space is None else space.dtype
    taken = np.asarray(action, dtype=dtype)
    if isinstance(space, gymnasium.spaces.Box):
        taken = np.clip(taken, space.low, space.high)
    return taken
