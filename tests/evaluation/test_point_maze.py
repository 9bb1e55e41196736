"""A maze of Gymnasium-Robotics from end to end, where that package is installed.

It is no requirement of the tests: its releases want another gymnasium than d3rlpy 2.8 or
another MuJoCo than the tests. ``pip install --no-deps gymnasium-robotics pettingzoo`` works.
"""

import logging

import gymnasium
import numpy as np
import pytest

from offline_prune import evaluate, load_dataset, prune_then_train
from tests.goal_world import collected

_WAY = np.array([(-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)], float)


def along(observation):
    """Push towards the next cell of the U between the ball and its goal, and brake."""
    at, goal = observation["achieved_goal"], observation["desired_goal"]
    here, there = (int(np.linalg.norm(_WAY - x, axis=1).argmin()) for x in (at, goal))
    target = goal if here == there else _WAY[here + np.sign(there - here)]
    force = 5 * (target - at) - 2 * observation["observation"][2:]
    return np.clip(force, -1, 1).astype(np.float32)


class Along:
    def predict(self, x):
        keys = {"achieved_goal": slice(0, 2), "desired_goal": slice(2, 4)}
        return np.stack(
            [along({k: row[s] for k, s in keys.items()} | {"observation": row[4:]}) for row in x]
        )


def test_from_collecting_to_a_success_rate():
    logging.getLogger("gymnasium_robotics").setLevel(logging.ERROR)
    robotics = pytest.importorskip("gymnasium_robotics")
    gymnasium.register_envs(robotics)
    environment = gymnasium.make("PointMaze_UMaze-v3", continuing_task=False)
    data = load_dataset(collected(environment, along, "maze/along-v0", 20, 0.3))
    assert data.metadata.observation_shape == (8,)
    assert evaluate(Along(), data.metadata, 5).success_rate == 1.0
    result = prune_then_train(
        data, "bc", 0.5, n_steps=1_500, evaluate=5, n_batches=1, progress=False,
        algo_params={"hidden_units": [64, 64], "learning_rate": 1e-3},
    )  # fmt: skip
    assert result.evaluation.success_rate > 0.5
    assert result.evaluation.mean_return == pytest.approx(result.evaluation.success_rate)
    untrained = prune_then_train(
        data, "bc", 0.5, n_steps=1, evaluate=5, n_batches=1, progress=False
    )
    assert untrained.evaluation.success_rate < 0.5
