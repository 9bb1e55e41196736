"""Weighted importance sampling on bandits and episodes worked out by hand."""

import numpy as np
import pytest
from d3rlpy.dataset import MDPDataset

from offline_prune.data import load_dataset
from offline_prune.errors import AlgorithmError, InputError, NonFiniteError
from offline_prune.evaluation.off_policy import (
    estimated_propensities,
    weighted_importance_sampling,
)
from offline_prune.evaluation.off_policy.propensities import epsilon_greedy_probabilities
from tests import worlds
from tests.evaluation.off_policy.worlds import away, lever, observed, without_drawing


def bandit(lefts=300, rights=100):
    """Episodes of one step at the last place; left earns 1, right 3; right is a quarter."""
    actions = np.repeat([0, 1], [lefts, rights])
    rewards = np.where(actions == 1, 3.0, 1.0).astype(np.float32)
    x = np.stack([observed(5)] * len(actions))
    data = MDPDataset(x, actions[:, None], rewards, np.ones(len(actions)), action_size=2)
    return load_dataset(data), np.where(actions == 1, 0.25, 0.75)


def two_steps():
    """Two episodes of two steps: right-right earns 1 + 2, right-left 4 + 8."""
    x = np.stack([observed(5)] * 4)
    actions, rewards = np.array([[1], [1], [1], [0]]), np.array([1, 2, 4, 8], np.float32)
    return load_dataset(MDPDataset(x, actions, rewards, np.array([0, 1, 0, 1]), action_size=2))


def test_the_value_of_a_bandit_is_known():
    data, behaviour = bandit()
    algo = away(data)  # goes right at the last place
    greedy = weighted_importance_sampling(algo, data, behaviour, gamma=0.9, epsilon=0.0)
    assert greedy.value == pytest.approx(3.0)
    assert greedy.effective_episodes == pytest.approx(100.0)
    smooth = weighted_importance_sampling(algo, data, behaviour, gamma=0.9, epsilon=0.2)
    assert smooth.value == pytest.approx(0.9 * 3.0 + 0.1 * 1.0)
    w = np.repeat([0.1 / 0.75, 0.9 / 0.25], [300, 100])
    np.testing.assert_allclose(smooth.weights, w / w.sum())
    assert smooth.effective_episodes == pytest.approx(w.sum() ** 2 / (w**2).sum())
    uniform = weighted_importance_sampling(algo, data, behaviour, gamma=0.9, epsilon=1.0)
    assert uniform.value == pytest.approx(2.0)


def test_weights_are_products_over_an_episode_and_returns_discounted():
    data = two_steps()
    found = weighted_importance_sampling(
        away(data), data, [0.5, 0.5, 0.5, 0.25], gamma=0.5, epsilon=0.2
    )
    w = np.array([1.8 * 1.8, 1.8 * 0.4])
    assert found.value == pytest.approx(float(w @ [2.0, 8.0] / w.sum()))
    assert found.effective_episodes == pytest.approx(w.sum() ** 2 / (w**2).sum())
    clipped = weighted_importance_sampling(
        away(data), data, [0.5, 0.5, 0.5, 0.25], gamma=0.5, epsilon=0.2, clip=0.9
    )
    w = np.array([0.9, 0.72])
    assert clipped.value == pytest.approx(float(w @ [2.0, 8.0] / w.sum()))


def test_few_effective_episodes_are_worthless():
    data, behaviour = bandit(20, 5)
    arguments = {"gamma": 0.9, "epsilon": 0.0}
    found = weighted_importance_sampling(away(data), data, behaviour, **arguments)
    assert found.is_worthless
    assert not weighted_importance_sampling(
        away(data), data, behaviour, least_effective=4.9, **arguments
    ).is_worthless
    none, behaviour = bandit(20, 0)
    found = weighted_importance_sampling(away(none), none, behaviour, **arguments)
    assert found.value is None
    assert found.effective_episodes == 0.0
    assert found.is_worthless
    assert set(found.weights) == {0.0}


def test_long_episodes_neither_overflow_nor_vanish():
    n = 4_000
    x, rights = np.stack([observed(5)] * n), np.ones((n, 1), np.int64)
    ends = np.arange(n) % 2_000 == 1_999
    data = load_dataset(MDPDataset(x, rights, np.ones(n, np.float32), ends, action_size=2))
    found = weighted_importance_sampling(away(data), data, np.full(n, 0.1), gamma=0.5, epsilon=0.0)
    assert found.value == pytest.approx(2.0)
    assert found.weights == (0.5, 0.5)


def test_target_probabilities_are_the_smoothed_greedy_ones():
    data = two_steps()
    found = epsilon_greedy_probabilities(away(data), data, 0.1)
    np.testing.assert_allclose(found, [0.95, 0.95, 0.95, 0.05])


def test_propensities_are_estimated_without_a_pull_toward_even_ones():
    data, behaviour = bandit()
    options = {"n_steps": 300, "hidden_units": (16,), "batch_size": 400}
    found = without_drawing(lambda: estimated_propensities(data, data, **options))
    assert found.shape == (400,)
    np.testing.assert_allclose(found, behaviour, atol=0.03)
    again = estimated_propensities(data, data, **options)
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("n_steps", [1, 30])  # asked, then trained
def test_an_imitation_that_diverges_is_an_error(n_steps):
    data, _ = bandit()
    with pytest.raises(NonFiniteError, match="imitation"):
        estimated_propensities(data, data, n_steps=n_steps, learning_rate=1e30, hidden_units=(16,))


def test_what_cannot_be_weighed_is_refused():
    data, behaviour = bandit(3, 3)
    algo = away(data)
    good = {"gamma": 0.9, "epsilon": 0.1}

    def refused(match, propensities=behaviour, error=InputError, algo=algo, data=data, **wrong):
        with pytest.raises(error, match=match):
            weighted_importance_sampling(algo, data, propensities, **{**good, **wrong})

    refused("epsilon", epsilon=1.1)
    refused("gamma", gamma=2.0)
    refused("clip", clip=0.0)
    refused("least_effective", least_effective="few")
    refused("shape", behaviour[:-1])
    refused("numbers", ["a"] * 6)
    refused("transition 2 is 0", [0.5, 0.5, 0.0, 0.5, 0.5, 0.5])
    refused("transition 0 is nan", [np.nan, *behaviour[1:]])
    lever_data, ddpg = lever()
    refused("discrete", np.full(len(lever_data), 0.5), AlgorithmError, ddpg, lever_data)
    with pytest.raises(AlgorithmError, match="discrete"):
        estimated_propensities(lever_data, lever_data, n_steps=1)
    with pytest.raises(AlgorithmError, match="shape"):
        estimated_propensities(data, worlds.dataset("vector-discrete"), n_steps=10**9)
