import d3rlpy
import numpy as np
import pytest
from d3rlpy.dataset import (
    BasicTransitionPicker,
    Episode,
    FrameStackTransitionPicker,
    InfiniteBuffer,
    MixedReplayBuffer,
    ReplayBuffer,
    SparseRewardTransitionPicker,
)

from offline_prune.agents import build_agent
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


def made(transition_picker, observations=None, discrete=False):
    """A buffer of a terminated and a truncated episode of six steps."""
    rng = np.random.default_rng(0)
    if observations is None:
        observations = rng.normal(size=(12, 3)).astype("f4")
    actions = rng.uniform(-1, 1, (12, 2)).astype("f4")
    rewards = np.ones((12, 1), "f4")
    return ReplayBuffer(
        InfiniteBuffer(),
        transition_picker=transition_picker,
        episodes=[
            Episode(observations[i], actions[i], rewards[i], end)
            for i, end in ((slice(6), True), (slice(6, 12), False))
        ],
    )


def frames(shape):
    rng = np.random.default_rng(1)
    if len(shape) == 3:
        return rng.integers(0, 256, (12, *shape)).astype("u1")
    return rng.normal(size=(12, *shape)).astype("f4")


@pytest.mark.parametrize("shape", [(3,), (1, 36, 36), (2, 36, 36)])
@pytest.mark.parametrize("n", [1, 4, 8])
def test_stacked_frames_are_those_that_d3rlpy_draws(shape, n):
    source = made(FrameStackTransitionPicker(n), frames(shape))
    data = load_dataset(source)
    stacked = (n * shape[0], *shape[1:])
    assert data.metadata.observation_shape == stacked
    theirs = [source.transition_picker(*source.buffer[i]) for i in range(source.transition_count)]
    for name in ("observation", "next_observation", "action", "reward", "terminal"):
        ours = [getattr(data.buffer.transition_at(i), name) for i in range(len(data))]
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our, getattr(their, name), err_msg=name)
    assert build_agent(data, "bc").agent.algo.observation_shape == stacked


def test_returns_to_go_and_trajectories_do_not_bear_on_transitions():
    plain = load_dataset(made(None))
    sparse = load_dataset(made(SparseRewardTransitionPicker(-1.0)))
    np.testing.assert_array_equal(plain.rewards, sparse.rewards)


class Own(BasicTransitionPicker):
    """A picker of one's own."""


class Prioritised(ReplayBuffer):
    """A buffer that draws in its own way."""

    def sample_transition_batch(self, batch_size):
        return super().sample_transition_batch(batch_size)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (lambda: made(Own()), "Own"),
        (lambda: MixedReplayBuffer(made(None), made(None), 0.5), "MixedReplayBuffer"),
        (lambda: Prioritised(InfiniteBuffer(), episodes=made(None).episodes), "Prioritised"),
    ],
)
def test_other_ways_to_draw_are_refused_by_name(source, named):
    with pytest.raises(DatasetError, match=named):
        load_dataset(source())


@pytest.mark.parametrize("shape", [(16, 10, 10), (10, 16, 10), (84, 36, 36), (3, 36, 36)])
def test_images_keep_the_order_of_axes_that_d3rlpy_has(shape):
    source = made(None, frames(shape))
    data = load_dataset(source)
    assert data.metadata.observation_shape == shape
    np.testing.assert_array_equal(data.observations[:6], source.episodes[0].observations)


def test_a_loaded_buffer_loads_again():
    data = load_dataset(made(None))
    assert len(load_dataset(data.buffer)) > 0
