import numpy as np
import pytest
from d3rlpy.algos import DiscreteBCConfig, DQNConfig
from d3rlpy.dataset import MDPDataset
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.preprocessing import MultiplyRewardScaler

from offline_prune.data import load_dataset
from offline_prune.errors import AlgorithmError
from offline_prune.evaluation.off_policy import mean_td_error
from tests import worlds
from tests.evaluation.off_policy.worlds import GAMMA, away, chain, observed, state


def cut(length):
    """One episode of some steps right, cut off, that goes through the places again and again.

    What follows the last step is not recorded by d3rlpy, so a row more is given than is kept.
    """
    places = np.arange(length + 1) % 6
    x = np.stack([observed(place) for place in places])
    actions, rewards = np.ones((length + 1, 1), np.int64), np.arange(length + 1) % 3
    cuts = np.arange(length + 1) == length
    return load_dataset(
        MDPDataset(
            x, actions, rewards.astype(np.float32), np.zeros(length + 1), cuts, action_size=2
        )
    )


def by_hand(algo, data):
    """The mean squared error over all transitions of the buffer."""
    batch = data.buffer.batch_at(np.arange(data.buffer.transition_count))
    value = algo.predict_value(batch.observations, batch.actions)
    after = algo.predict_value(batch.next_observations, algo.predict(batch.next_observations))
    scaler = algo.reward_scaler
    rewards = batch.rewards[:, 0] if scaler is None else scaler.transform_numpy(batch.rewards[:, 0])
    return np.mean((value - rewards - algo.gamma * after * (1 - batch.terminals[:, 0])) ** 2)


# d3rlpy's evaluator fails on cut-off episodes of 1 and 1 025 rows.
@pytest.mark.parametrize("length", [1, 2, 1022, 1023, 1024, 1025])
def test_every_step_counts_whatever_the_length(length):
    data = cut(length)
    assert len(data) == length
    algo = away(data)
    assert mean_td_error(algo, data) == pytest.approx(by_hand(algo, data), rel=1e-5)


def test_the_error_is_known_where_episodes_end():
    data = chain(30)
    algo = away(data, reward_scaler=MultiplyRewardScaler(2.0))
    assert mean_td_error(algo, data) == pytest.approx(by_hand(algo, data), rel=1e-5)
    x = np.stack([observed(5)])
    one = load_dataset(
        MDPDataset(x, np.ones((1, 1), np.int64), np.array([2.5]), np.ones(1), action_size=2)
    )
    q = (150 - 125) / (17 + 1e-3)
    assert mean_td_error(algo, one) == pytest.approx((q - 5.0) ** 2, rel=1e-5)
    assert algo.gamma == GAMMA


def test_stacked_frames_are_stacked():
    data = worlds.dataset("vector-discrete").with_frame_stack(2)
    algo = DQNConfig(encoder_factory=VectorEncoderFactory([8])).create()
    algo.build_with_dataset(data.buffer)
    assert mean_td_error(algo, data) == pytest.approx(by_hand(algo, data), rel=1e-5)


def test_the_agent_stays_as_it_is():
    data = chain(3)
    algo = away(data)
    algo.impl.modules.set_train()
    before = state(algo)
    mean_td_error(algo, data)
    assert state(algo)[1] == before[1]


def test_without_critics_there_is_none():
    data = chain(3)
    bc = DiscreteBCConfig().create()
    bc.build_with_dataset(data.buffer)
    with pytest.raises(AlgorithmError, match="no critics"):
        mean_td_error(bc, data)
