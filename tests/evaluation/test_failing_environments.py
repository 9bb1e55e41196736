"""Environments that raise, never end or answer nonsense cost the evaluation, not the agent."""

import dataclasses
import re

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from offline_prune import PruneResult, evaluate, prune_then_train
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from tests.worlds import params

BOX = gymnasium.spaces.Box(-1, 1, (5,), np.float32)
ACTIONS = gymnasium.spaces.Box(np.float32([-0.7, -0.7]), np.float32([0.1, 0.1]))
LENGTHS = (40, 30)


class World(gymnasium.Env):
    """Ends never, unless told to; what goes wrong is its ``fault``."""

    observation_space, action_space = BOX, ACTIONS
    fault = ""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        if self.fault == "reset":
            raise ConnectionError("the robot is not there")
        return BOX.low, {}

    def step(self, action):
        self.t += 1
        assert self.action_space.contains(action), action
        if self.t == 7:
            if self.fault == "raises":
                raise RuntimeError("the robot fell over")
            if self.fault == "shape":
                return np.zeros(3, "f4"), 0.0, False, False, {}
            if self.fault == "nan":
                return BOX.low, float("nan"), False, False, {}
            if self.fault == "interrupt":
                raise KeyboardInterrupt
        return BOX.low, 1.0, False, False, {}


@pytest.fixture
def world(monkeypatch):
    """A dataset of the environment, registered without a limit of steps."""
    spec = EnvSpec("World-v0", entry_point=World)
    monkeypatch.setitem(gymnasium.registry, "World-v0", spec)
    rng = np.random.default_rng(0)

    def episode(n):
        end = np.arange(n) == n - 1
        actions = rng.uniform(-0.7, 0.1, (n, 2)).astype("f4")
        return RawEpisode("", rng.uniform(-1, 1, (n + 1, 5)).astype("f4"), actions, np.ones(n),
                          np.zeros(n, bool), end)  # fmt: skip

    origin = Origin(None, gymnasium.spec("World-v0"), BOX, ACTIONS, len(LENGTHS), sum(LENGTHS))
    return collect_episodes([episode(n) for n in LENGTHS], origin)


def trained(world, **options):
    small = params("vector-continuous", "bc")
    return prune_then_train(world, "bc", 0.8, n_steps=4, evaluate=2, progress=False,
                            algo_params=small, **options)  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("reset", "World-v0 failed when it was reset .*robot is not there"),
        ("raises", "World-v0 failed in step 7 .*fell over"),
        ("shape", r"World-v0 failed in step 7 .*\(1, 3\)"),
        ("nan", "World-v0 failed in step 7 .*reward is nan"),
    ],
)
def test_a_failing_environment_is_named_in_a_whole_result(
    tmp_path, monkeypatch, world, fault, reason
):
    monkeypatch.setattr(World, "fault", fault)
    result = trained(world, output_dir=tmp_path / "run")
    for found in (result, PruneResult.load(tmp_path / "run")):
        assert found.evaluation.mean_return is None
        assert re.search(reason, found.evaluation.reason)


def test_an_episode_that_never_ends_is_cut_at_the_longest_of_the_data(world):
    result = trained(world)
    assert result.evaluation.returns == (40.0, 40.0)
    assert result.evaluation.cut == 2
    assert "2 episodes cut" in str(result.evaluation)
    shorter = evaluate(result.algo, world.metadata, 3, max_episode_steps=9)
    assert shorter.returns == (9.0,) * 3


def test_a_limit_of_the_environment_s_own_is_no_cut(world):
    spec = gymnasium.spec("World-v0")
    spec.max_episode_steps = 12
    found = evaluate(trained(world).algo, dataclasses.replace(world.metadata, env_spec=spec), 2)
    assert found.returns == (12.0, 12.0)
    assert found.cut == 0


def test_actions_keep_to_the_box(world):
    """A scaler's rounding takes some past the bound, which the environment asserts."""

    class Beyond:
        def predict(self, x):
            return np.full((len(x), 2), np.nextafter(np.float32(0.1), np.float32(1)))

    assert evaluate(Beyond(), world.metadata, 1).mean_return == 40.0


def test_an_interrupted_evaluation_keeps_the_agent(tmp_path, monkeypatch, world):
    monkeypatch.setattr(World, "fault", "interrupt")
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(world, output_dir=tmp_path / "run")
    loaded = PruneResult.load(tmp_path / "run")
    kept = caught.value.result
    assert kept.evaluation.reason == loaded.evaluation.reason == "it was interrupted"
    observations = np.zeros((2, 5), "f4")
    np.testing.assert_array_equal(
        kept.algo.predict(observations), loaded.algo.predict(observations)
    )


def test_an_interrupted_evaluation_leaves_the_checkpoint(tmp_path, monkeypatch, world):
    monkeypatch.setattr(World, "fault", "interrupt")
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(world, checkpoint_dir=tmp_path)
    monkeypatch.setattr(World, "fault", "")
    again = trained(world, checkpoint_dir=tmp_path)
    assert again.evaluation.mean_return == 40.0
    observations = np.zeros((2, 5), "f4")
    np.testing.assert_array_equal(
        again.algo.predict(observations), caught.value.result.algo.predict(observations)
    )
