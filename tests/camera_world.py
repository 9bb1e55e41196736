"""An environment of a camera and a vector, and a small dataset of it."""

import gymnasium
import numpy as np

SIDES = (20, 24)


class Look(gymnasium.Env):
    """A bright patch in the image says where to go; the vector says where one is.

    ``discrete`` has three actions: left, stay, right.
    """

    observation_space = gymnasium.spaces.Dict(
        camera=gymnasium.spaces.Box(0, 255, (*SIDES, 3), np.uint8),
        joints=gymnasium.spaces.Box(-2, 2, (2,), np.float32),
    )

    def __init__(self, discrete=False):
        self.discrete = discrete
        box = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(3, start=1) if discrete else box

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-1, 1, 2)
        return self._observation(), {}

    def step(self, action):
        move = float(action) - 2 if self.discrete else float(np.clip(action, -1, 1)[0])
        self.at = float(np.clip(self.at + 0.5 * move, -2, 2))
        return self._observation(), -abs(self.at - self.goal), False, False, {}

    def _observation(self):
        camera = np.full((*SIDES, 3), 20, np.uint8)
        column = int((self.goal + 1) / 2 * (SIDES[1] - 4))
        camera[8:12, column : column + 4, 1] = 250
        return {"camera": camera, "joints": np.array([self.at, 1.0], np.float32)}


def towards(observation):
    """The action that leads to the bright patch."""
    column = observation["camera"][9, :, 1].argmax()
    way = column / (SIDES[1] - 4) * 2 - 1 - observation["joints"][0]
    return np.clip(np.array([way / 0.5], np.float32), -1, 1)


def towards_in_steps(observation):
    """The same in three actions, counted from 1."""
    return np.int64(np.round(towards(observation)[0]) + 2)


def register():
    """Make gymnasium know it; twice does no harm."""
    if "Look-v0" not in gymnasium.registry:
        gymnasium.register("Look-v0", f"{__name__}:Look", max_episode_steps=6)
