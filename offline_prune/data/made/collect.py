"""Collect the embedded datasets: scripted controllers and learned policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from minari import MinariDataset
from minari.data_collector.episode_buffer import EpisodeBuffer
from numpy.typing import NDArray

from offline_prune.data.environment import make_registered
from offline_prune.data.made.learned_behaviour import ImageQNetwork, epsilon_greedy
from offline_prune.data.made.store import write_dataset
from offline_prune.recipes.datasets import DatasetRecipe
from offline_prune.recipes.shipped_files import shipped

__all__ = ["CONTROLLERS", "collect", "controller_of", "play_episode"]

Controller = Callable[[NDArray[Any], float, np.random.Generator], Any]
"""(observation, noise level, generator) → action. Noise 0 is the controller's best."""


def pendulum_swing_up(
    observation: NDArray[Any], noise: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Pump energy into the pendulum until it can be caught upright.

    With the angle θ from upright and ``E = ½θ̇² + 15·cos θ`` (per unit of inertia), the
    torque ``u = (15 − E)·sign θ̇`` raises E towards its upright value 15; near upright
    ``u = −(10·θ + 2·θ̇)`` catches it.

    Args:
        observation: (3,) ``[cos θ, sin θ, θ̇]``.
        noise: Standard deviation of Gaussian noise added to the torque, in N·m.
        rng: Of the noise.

    Returns:
        (1,) torque, clipped to ±2 N·m.

    References:
        Åström, Furuta 2000, swinging up a pendulum by energy control.
    """
    cos, sin, speed = (float(value) for value in observation)
    angle = np.arctan2(sin, cos)
    if cos > 0.9:
        torque = -(10.0 * angle + 2.0 * speed)
    else:
        energy = 0.5 * speed**2 + 15.0 * cos
        torque = (15.0 - energy) * (1.0 if speed >= 0 else -1.0)
    torque = np.clip(torque, -2.0, 2.0) + noise * rng.standard_normal()
    return np.array([np.clip(torque, -2.0, 2.0)], dtype=np.float32)


def cartpole_balance(observation: NDArray[Any], noise: float, rng: np.random.Generator) -> np.int64:
    """Push towards the side the pole falls to, and the cart back to the middle.

    Action 1 (right) where ``0.1·x + 0.3·ẋ + 3·θ + θ̇ > 0``, else 0; a random one with
    probability ``noise``.

    Args:
        observation: (4,) ``[x, ẋ, θ, θ̇]``.
        noise: Probability of a random action.
        rng: Of the noise.

    Returns:
        The action, 0 or 1.
    """
    if rng.random() < noise:
        return np.int64(rng.integers(2))
    return np.int64(float(observation @ np.array([0.1, 0.3, 3.0, 1.0])) > 0.0)


CONTROLLERS: dict[str, Controller] = {
    "pendulum_swing_up": pendulum_swing_up,
    "cartpole_balance": cartpole_balance,
}
"""Name in a recipe → controller."""


def controller_of(recipe: DatasetRecipe) -> Controller:
    """The scripted controller that a recipe names, or the policy in a bundled file."""
    if "policy" in recipe.collection:
        path = shipped("datasets") / "bundled" / recipe.collection["policy"]
        return epsilon_greedy(ImageQNetwork.load(path))
    return CONTROLLERS[recipe.collection["controller"]]


def play_episode(
    environment: gymnasium.Env[Any, Any],
    act: Callable[[NDArray[Any]], Any],
    seed: int,
) -> EpisodeBuffer:
    """Play one episode.

    Args:
        environment: A gymnasium environment.
        act: Observation → action, as the environment takes it.
        seed: Of the reset.

    Returns:
        The episode, with the observation after its last step.
    """
    observation, _ = environment.reset(seed=seed)
    observations, actions, rewards = [observation], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        action = act(observation)
        observation, reward, terminated, truncated, _ = environment.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(float(reward))
    flags = [False] * (len(rewards) - 1)
    return EpisodeBuffer(
        seed=seed,
        observations=np.asarray(observations),
        actions=np.asarray(actions),
        rewards=rewards,
        terminations=[*flags, bool(terminated)],
        truncations=[*flags, bool(truncated and not terminated)],
    )


def collect(recipe: DatasetRecipe) -> MinariDataset:
    """Make a generated dataset, the same on every machine.

    Args:
        recipe: Of kind ``"generated"``; its ``collection`` names the ``controller``
            (one of :data:`CONTROLLERS`) or a ``policy`` (a file of
            ``datasets/bundled``), the ``seed`` and, level by level, the ``noise`` and
            number of ``episodes``.

    Returns:
        The dataset, in Minari's local root.

    Raises:
        EnvironmentUnavailableError: If the environment cannot be made here.
    """
    plan = recipe.collection
    behaviour = plan["policy" if "policy" in plan else "controller"]
    controller = controller_of(recipe)
    rng = np.random.default_rng(plan["seed"])
    environment = make_registered(recipe.environment)
    episodes: list[EpisodeBuffer] = []
    for noise, count in zip(plan["noise"], plan["episodes"], strict=True):

        def act(observation: NDArray[Any], noise: float = noise) -> Any:
            return controller(observation, noise, rng)

        for _ in range(count):
            episodes.append(play_episode(environment, act, plan["seed"] + len(episodes)))
    dataset = write_dataset(
        recipe.id,
        episodes,
        observation_space=environment.observation_space,
        action_space=environment.action_space,
        env_spec=environment.spec,
        metadata={
            "algorithm_name": f"{behaviour} with noise {plan['noise']}",
            "description": recipe.description,
            "ref_min_score": recipe.reference_min,
            "ref_max_score": recipe.reference_max,
        },
    )
    environment.close()
    return dataset
