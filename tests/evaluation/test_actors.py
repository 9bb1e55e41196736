"""Sequence models act in an environment with a memory of their own episode."""

import dataclasses

import d3rlpy
import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.metrics import evaluate_transformer_with_environment

from offline_prune import evaluate, load_dataset
from offline_prune.agents import build_agent
from offline_prune.errors import InputError
from tests.worlds import agent, dataset


@pytest.fixture(scope="module")
def data(minari_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(minari_root))
        return load_dataset("pendulum/mixture-v0"), load_dataset("cartpole/mixture-v0")


def small(data, algo="decision_transformer"):
    chosen = {"hidden_units": [16], "num_layers": 1, "context_size": 4, "batch_size": 8}
    return build_agent(data, algo, algo_params=chosen).agent.algo


class Seeded(gymnasium.Wrapper):
    """Resets with the seeds of an evaluation, one after another."""

    def __init__(self, env, seed):
        super().__init__(env)
        self.next = seed

    def reset(self, **_):
        self.next += 1
        return self.env.reset(seed=self.next - 1)


def test_returns_are_those_of_d3rlpys_own_evaluation(data):
    pendulum, _ = data
    algo = small(pendulum)
    found = evaluate(algo, pendulum.metadata, 3, seed=5, target_return=-150.0)
    env = Seeded(gymnasium.make("Pendulum-v1"), 5)
    expected = evaluate_transformer_with_environment(
        algo.as_stateful_wrapper(-150.0), env, n_trials=3
    )
    assert found.mean_return == pytest.approx(expected, abs=1e-3)


def test_without_a_target_it_is_the_best_return_of_the_data(data):
    pendulum, _ = data
    returns = [episode.compute_return() for episode in pendulum.buffer.episodes]
    assert pendulum.metadata.best_return == pytest.approx(max(returns), rel=1e-5)
    algo = small(pendulum)
    best = pendulum.metadata.best_return
    cut = {"max_episode_steps": 20}
    found = evaluate(algo, pendulum.metadata, 2, **cut)
    assert found == evaluate(algo, pendulum.metadata, 2, target_return=best, **cut)
    assert found != evaluate(algo, pendulum.metadata, 2, target_return=-9e4, **cut)
    unknown = dataclasses.replace(pendulum.metadata, best_return=None)
    with pytest.raises(InputError, match="pass target_return"):
        evaluate(algo, unknown, 1)


def test_actions_are_drawn_from_the_seed_and_the_random_states_stay(data):
    _, cartpole = data
    algo = small(cartpole)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    first = evaluate(algo, cartpole.metadata, 4, seed=1)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    np.random.seed(7)
    assert evaluate(algo, cartpole.metadata, 4, seed=1).returns == first.returns
    assert evaluate(algo, cartpole.metadata, 4, seed=2).returns != first.returns


def test_a_target_for_an_algorithm_that_is_told_of_none(data):
    pendulum, _ = data
    with pytest.raises(InputError, match="BC is none"):
        evaluate(agent("vector-continuous", "bc").algo, pendulum.metadata, 1, target_return=3.0)


def test_a_model_without_an_environment_is_not_evaluated():
    algo = agent("vector-continuous", "decision_transformer").algo
    assert isinstance(algo, d3rlpy.algos.DecisionTransformer)
    found = evaluate(algo, dataset("vector-continuous").metadata, 1)
    assert found.mean_return is None
