"""Data without a spread: scaled as they are and said, or refused by name."""

import d3rlpy
import numpy as np
import pytest
from d3rlpy.dataset import MDPDataset
from d3rlpy.preprocessing import MinMaxActionScaler, MinMaxObservationScaler, MinMaxRewardScaler

from offline_prune import load_dataset, prune_then_train
from offline_prune.agents.build import build_agent
from offline_prune.agents.configure import ConstantRewardWarning
from offline_prune.errors import AlgorithmError
from tests.worlds import params

N = 60


def data(rewards, observations=None):
    """Six episodes of ten steps."""
    rng = np.random.default_rng(0)
    if observations is None:
        observations = rng.normal(size=(N, 3))
    ends = np.zeros(N, "f4")
    ends[9::10] = 1.0
    actions = rng.uniform(-1, 1, (N, 2)).astype("f4")
    return load_dataset(
        MDPDataset(observations.astype("f4"), actions, np.asarray(rewards, "f4"), ends)
    )


def at_the_end(value):
    """Every episode succeeds: one reward, at its end."""
    rewards = np.zeros(N)
    rewards[9::10] = value
    return rewards


@pytest.mark.slow
@pytest.mark.parametrize(
    "rewards", [at_the_end(1), at_the_end(0), np.full(N, 4.0)], ids=["1", "0", "40"]
)
def test_demonstrations_of_equal_returns_train(rewards):
    small = params("vector-continuous", "iql")
    with pytest.warns(ConstantRewardWarning, match="returns"):
        result = prune_then_train(data(rewards), "iql", 0.8, n_steps=20, evaluate=0,
                                  progress=False, algo_params=small)  # fmt: skip
    assert result.algo.config.reward_scaler.multiplier == 1.0
    assert all(np.isfinite(list(row.values())).all() for row in result.history)


def test_equal_rewards_under_a_min_max_scaler():
    with pytest.warns(ConstantRewardWarning, match="rewards"):
        build_agent(data(np.ones(N)), "cql", algo_params={"reward_scaler": "min_max"})


def test_different_returns_are_scaled_as_ever():
    rewards = at_the_end(1)
    rewards[9] = 3.0
    scaler = build_agent(data(rewards), "iql").agent.algo.config.reward_scaler
    assert (scaler.return_min, scaler.return_max, scaler.multiplier) == (1.0, 3.0, 1000.0)


def test_a_constant_observation_under_a_min_max_scaler_is_constant():
    observations = np.random.default_rng(0).normal(size=(N, 3))
    observations[:, 1] = 5.0
    built = build_agent(data(np.ones(N), observations), "bc",
                        algo_params={"observation_scaler": "min_max"})  # fmt: skip
    scaled = built.agent.algo.config.observation_scaler.transform_numpy(observations)
    np.testing.assert_array_equal(scaled[:, 1], -1.0)


@pytest.mark.parametrize(
    ("scalers", "named"),
    [
        ({"observation_scaler": MinMaxObservationScaler()}, r"MinMaxObservationScaler.*\[1\]"),
        ({"reward_scaler": MinMaxRewardScaler()}, "MinMaxRewardScaler"),
        (
            {"action_scaler": MinMaxActionScaler(minimum=[-1, 0], maximum=[1, 0])},
            r"MinMaxActionScaler.*\[1\]",
        ),
    ],
)
@pytest.mark.parametrize("config", [d3rlpy.algos.CQLConfig, d3rlpy.algos.TD3PlusBCConfig])
def test_scalers_of_ones_own_are_refused_by_name(config, scalers, named):
    observations = np.random.default_rng(0).normal(size=(N, 3))
    observations[:, 1] = 5.0
    with pytest.raises(AlgorithmError, match=named):
        build_agent(data(np.ones(N), observations), config(**scalers))


def test_every_reward_scaler_of_d3rlpy_has_its_name():
    for kind, options in (("shift", {"shift": -1}), ("clip", {"low": -1, "high": 1})):
        built = build_agent(data(at_the_end(1)), "cql",
                            algo_params={"reward_scaler": {"type": kind, **options}})  # fmt: skip
        assert built.agent.algo.config.reward_scaler.get_type() == kind
