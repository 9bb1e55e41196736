import dataclasses

import numpy as np
import pytest
import torch

from offline_prune.errors import AlgorithmError
from offline_prune.evaluation.off_policy import disagreement
from tests.evaluation.off_policy.worlds import away, chain, lever, state


def bounded(data, bound):
    """The same data, of actions within ± this."""
    high = np.full(1, bound, np.float32)
    metadata = dataclasses.replace(data.metadata, action_low=-high, action_high=high)
    return dataclasses.replace(data, metadata=metadata)


def test_discrete_policies_differ_in_a_fraction_of_the_states():
    data = chain(20)
    ours, right = away(data), away(data)
    with torch.no_grad():
        list(right.impl.q_function.parameters())[3][1] = 9.0  # always
    found = disagreement(ours, right, data)
    left = data.observations[:, 0] < 125  # where the first goes left
    each = [part.mean() for part in np.split(left, data.ends[:-1])]
    np.testing.assert_allclose(found.values, each)
    assert found.value == pytest.approx(np.mean(each))
    assert found.value != pytest.approx(left.mean())  # long episodes count as short ones
    assert disagreement(ours, ours, data).value == 0.0


def test_continuous_ones_in_units_of_the_range():
    data, ours = lever(action=1.0)
    _, theirs = lever(action=-1.0)
    found = disagreement(ours, theirs, bounded(data, 2.0))
    assert found.value == pytest.approx((2 / 4) ** 2)
    assert len(found.values) == len(data.ends)
    unbounded = bounded(data, np.inf)
    half = dataclasses.replace(unbounded, actions=data.actions / 2)
    expected = (2 / np.ptp(half.actions)) ** 2
    assert disagreement(ours, theirs, half).value == pytest.approx(expected)
    same = dataclasses.replace(unbounded, actions=np.zeros_like(data.actions))
    assert disagreement(ours, theirs, same).value == pytest.approx(4.0)


def test_neither_policy_is_changed():
    data = chain(3)
    ours, theirs = away(data), away(data)
    ours.impl.modules.set_train()
    before = state(ours)
    disagreement(ours, theirs, data)
    assert state(ours)[1] == before[1]
    assert all(before[1])


def test_policies_of_other_data_are_refused():
    data = chain(3)
    with pytest.raises(AlgorithmError, match="continuous"):
        disagreement(away(data), lever()[1], data)
