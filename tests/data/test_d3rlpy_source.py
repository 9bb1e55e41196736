import d3rlpy
import numpy as np
import pytest
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer

from offline_prune.data import load_dataset
from offline_prune.errors import DatasetError


def test_transitions_of_a_replay_buffer():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3)).astype("f4"), rng.normal(size=(3, 3)).astype("f4")
    a, b = rng.integers(0, 2, (4, 1)), rng.integers(0, 2, (3, 1))
    r = np.ones((4, 1), np.float32)
    source = ReplayBuffer(
        InfiniteBuffer(),
        episodes=[Episode(x, a, r, True), Episode(y, b, r[:3], False)],
        action_space=d3rlpy.ActionSpace.DISCRETE,
        action_size=5,
    )
    data = load_dataset(source)
    # What follows a truncated episode's last step is unknown: that step goes.
    np.testing.assert_array_equal(data.observations, np.concatenate([x, y[:2]]))
    np.testing.assert_array_equal(data.next_observations[4:], y[1:])
    assert not data.next_observations[3].any()
    assert data.terminals.tolist() == [0, 0, 0, 1, 0, 0]
    assert data.metadata.action_size == 5
    assert data.metadata.env_spec is None
    assert len(data) == source.transition_count


def test_tuple_observations_are_refused():
    episode = Episode(
        [np.zeros((2, 3), "f4"), np.zeros((2, 1), "f4")],
        np.zeros((2, 1), "f4"),
        np.zeros((2, 1), "f4"),
        True,
    )
    with pytest.raises(DatasetError, match="tuple"):
        load_dataset(ReplayBuffer(InfiniteBuffer(), episodes=[episode]))
