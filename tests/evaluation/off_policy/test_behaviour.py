import numpy as np
import pytest
from d3rlpy.dataset import MDPDataset

from offline_prune.data import load_dataset
from offline_prune.errors import InputError
from offline_prune.evaluation.off_policy import behaviour_value
from offline_prune.evaluation.off_policy.returns import returns_to_go


def episodes():
    """Rewards 1, 2, 4 up to an end, and 8, 8 up to a cut, whose own row is not kept."""
    rewards = np.array([1, 2, 4, 8, 8, 9], np.float32)
    x = np.zeros((6, 1), np.float32)
    ends, cuts = np.array([0, 0, 1, 0, 0, 0]), np.array([0, 0, 0, 0, 0, 1])
    return load_dataset(MDPDataset(x, x + 0.5, rewards, ends, timeouts=cuts))


def test_the_value_is_the_mean_discounted_return():
    data = episodes()
    np.testing.assert_array_equal(returns_to_go(data, 0.5), [3.0, 4.0, 4.0, 12.0, 8.0])
    found = behaviour_value(data, 0.5)
    assert found.values == (3.0, 12.0)
    assert (found.value, found.worst, found.best, found.range) == (7.5, 3.0, 12.0, 9.0)
    # A quarter of the second's value may lie beyond its two steps, none of the first's.
    assert found.missing == 0.125
    assert behaviour_value(data, 1.0).values == (7.0, 16.0)


@pytest.mark.parametrize("gamma", [-0.1, 1.5, float("nan"), "no"])
def test_gamma_is_a_discount(gamma):
    with pytest.raises(InputError, match="gamma"):
        behaviour_value(episodes(), gamma)
