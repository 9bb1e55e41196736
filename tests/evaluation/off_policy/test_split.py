import numpy as np
import pytest

from offline_prune.errors import DatasetError, InputError
from offline_prune.evaluation.off_policy import split_episodes
from tests.evaluation.off_policy.worlds import chain


def returns(data):
    return [float(e.rewards.sum()) for e in data.buffer.episodes]


def test_episodes_are_held_out_whole():
    data = chain(40)
    rest, held = split_episodes(data, 0.1, seed=3)
    assert len(held.ends) == 4
    assert len(rest) + len(held) == len(data)
    by_row = {e.observations.tobytes() + e.actions.tobytes(): e for e in data.buffer.episodes}
    for episode in held.buffer.episodes:
        same = by_row[episode.observations.tobytes() + episode.actions.tobytes()]
        np.testing.assert_array_equal(episode.rewards, same.rewards)
        assert episode.terminated == same.terminated
    everything = sorted(returns(rest) + returns(held))
    np.testing.assert_allclose(everything, sorted(returns(data)))
    np.testing.assert_array_equal(split_episodes(data, 0.1, seed=3)[1].frames, held.frames)
    assert not np.array_equal(split_episodes(data, 0.1, seed=4)[1].actions, held.actions)


def test_metadata_are_those_of_the_part():
    _, held = split_episodes(chain(40), 0.2, seed=0)
    found = held.metadata
    assert (found.episodes, found.steps) == (8, len(held))
    assert found.mean_return == pytest.approx(np.mean(returns(held)))
    assert found.std_return == pytest.approx(np.std(returns(held)))
    assert found.best_return == pytest.approx(max(returns(held)))
    assert found.longest_episode == max(len(e) for e in held.buffer.episodes)


def test_both_parts_have_an_episode_at_least():
    data = chain(3)
    assert [len(part.ends) for part in split_episodes(data, 0.01, 0)] == [2, 1]
    assert [len(part.ends) for part in split_episodes(data, 0.99, 0)] == [1, 2]


def test_one_episode_cannot_be_split():
    with pytest.raises(DatasetError, match="one episode"):
        split_episodes(chain(1), 0.1, seed=0)


@pytest.mark.parametrize("fraction", [0, 1, 1.0, -0.1, float("nan"), "half", True])
def test_the_fraction_leaves_something_on_both_sides(fraction):
    with pytest.raises(InputError, match=r"fraction|held_out"):
        split_episodes(chain(3), fraction, seed=0)
