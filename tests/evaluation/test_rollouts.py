import dataclasses

import gymnasium
import numpy as np
import pytest
import torch

from offline_prune import evaluate, load_dataset
from offline_prune.errors import InputError
from tests.worlds import agent, dataset


class Constant:
    """A policy that always acts alike, and notes how many observations it was shown."""

    def __init__(self, action):
        self.action = action
        self.batches = []

    def predict(self, x):
        self.batches.append(len(x))
        return np.stack([self.action] * len(x))


@pytest.fixture(scope="module")
def pendulum(minari_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(minari_root))
        return load_dataset("pendulum/mixture-v0").metadata


@pytest.fixture(scope="module")
def cartpole(minari_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(minari_root))
        return load_dataset("cartpole/mixture-v0").metadata


def test_returns_are_those_of_episodes_run_one_by_one(pendulum):
    action = np.array([0.7], dtype=np.float32)
    expected = []
    for seed in (5, 6, 7):
        env = gymnasium.make("Pendulum-v1")
        env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            _, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            done = terminated or truncated
        expected.append(total)
        env.close()
    found = evaluate(Constant(action), pendulum, 3, seed=5)
    assert found.returns == pytest.approx(expected)
    assert found.mean_return == pytest.approx(np.mean(expected))
    assert found.std_return == pytest.approx(np.std(expected))
    assert found.normalized_score == pytest.approx(
        (np.mean(expected) - pendulum.reference_min)
        / (pendulum.reference_max - pendulum.reference_min)
    )
    assert found.seeds == (5, 6, 7)


@pytest.mark.slow
def test_episodes_that_ended_are_not_stepped_on(cartpole):
    policy = Constant(np.int64(1))
    found = evaluate(policy, cartpole, 40, seed=0)
    assert len(found.returns) == 40
    assert all(5 <= value <= 15 for value in found.returns)  # it falls over at once
    assert max(policy.batches) == 32
    assert sum(policy.batches) == sum(found.returns)  # one prediction a step and episode


def test_discrete_actions_count_from_the_environments_first(cartpole):
    shifted = dataclasses.replace(cartpole, action_start=1)
    assert (
        evaluate(Constant(np.int64(0)), shifted, 3).returns
        == evaluate(Constant(np.int64(1)), cartpole, 3).returns
    )


def test_the_random_state_is_left_alone(pendulum):
    subject = agent("vector-continuous", "bcq")
    state = torch.get_rng_state()
    metadata = dataclasses.replace(pendulum, action_low=None)
    del subject
    evaluate(Constant(np.zeros(1, np.float32)), metadata, 1)
    assert torch.equal(state, torch.get_rng_state())


def test_without_an_environment_there_is_no_number():
    found = evaluate(agent("vector-continuous", "bc").algo, dataset("vector-continuous").metadata)
    assert found.mean_return is None
    assert found.returns is None
    assert found.normalized_score is None
    assert str(found) == "not evaluated: the dataset names no environment"


def test_an_environment_that_cannot_be_made_is_named(pendulum):
    spec = dataclasses.replace(
        pendulum.env_spec, id="NoSuchPendulum-v1", entry_point="no_such_module:Environment"
    )
    found = evaluate(Constant(np.zeros(1)), dataclasses.replace(pendulum, env_spec=spec), 1)
    assert "NoSuchPendulum-v1" in found.reason
    assert found.mean_return is None


@pytest.mark.parametrize("episodes", [-1, 1.5, True, "ten"])
def test_wrong_numbers_of_episodes(pendulum, episodes):
    with pytest.raises(InputError, match="whole number"):
        evaluate(Constant(np.zeros(1)), pendulum, episodes)


def test_no_references_no_score(pendulum):
    metadata = dataclasses.replace(pendulum, reference_min=None)
    found = evaluate(Constant(np.zeros(1, np.float32)), metadata, 1)
    assert found.normalized_score is None
    assert found.mean_return is not None
