"""A goal environment, and a small dataset of a controller that knows the way."""

import gymnasium
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer

from offline_prune.data.made.store import write_dataset


def _box(size):
    return gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)


class Reach(gymnasium.Env):
    """A point is to reach a goal in a square; episodes go on there, and say so in ``info``.

    ``tells`` is the key that says so; None says nothing.
    """

    observation_space = gymnasium.spaces.Dict(
        observation=_box(2), achieved_goal=_box(2), desired_goal=_box(2)
    )
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, tells="success"):
        self.tells = tells

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-1, 1, (2, 2))
        return self._observation(), self._info()

    def step(self, action):
        self.at = self.at + 0.3 * np.clip(action, -1, 1)
        return self._observation(), float(self._there()), False, False, self._info()

    def _there(self):
        return bool(np.linalg.norm(self.at - self.goal) < 0.15)

    def _info(self):
        return {} if self.tells is None else {self.tells: self._there()}

    def _observation(self):
        return {"observation": self.at.copy(), "achieved_goal": self.at.copy(),
                "desired_goal": self.goal.copy()}  # fmt: skip


def straight(observation):
    """The action that leads to the goal."""
    way = observation["desired_goal"] - observation["achieved_goal"]
    return np.clip(way / 0.3, -1, 1).astype(np.float32)


def register():
    """Make gymnasium know it; twice does no harm."""
    if "Reach-v0" not in gymnasium.registry:
        gymnasium.register("Reach-v0", f"{__name__}:Reach", max_episode_steps=12)


def collected(environment, act, dataset_id, episodes, noise=0.0):
    """Play episodes and write them as a Minari dataset; Minari's own collector needs jax."""
    rng = np.random.default_rng(0)
    played = []
    for seed in range(episodes):
        observation, _ = environment.reset(seed=seed)
        seen, actions, rewards, ended = [observation], [], [], (False, False)
        while not any(ended):
            action = act(observation)
            if noise:
                action = np.clip(action + noise * rng.normal(size=action.shape), -1, 1)
                action = action.astype(np.float32)
            actions.append(action)
            observation, reward, *ended, _ = environment.step(actions[-1])
            seen.append(observation)
            rewards.append(float(reward))
        flags = np.eye(len(rewards), dtype=bool)[-1]
        played.append(
            EpisodeBuffer(
                observations={key: np.stack([one[key] for one in seen]) for key in seen[0]},
                actions=np.stack(actions), rewards=rewards,
                terminations=flags & ended[0], truncations=flags & ended[1],
            )
        )  # fmt: skip
    spaces = environment.observation_space, environment.action_space
    environment.close()
    return write_dataset(
        dataset_id, played, observation_space=spaces[0], action_space=spaces[1],
        env_spec=environment.spec, metadata={},
    )  # fmt: skip
