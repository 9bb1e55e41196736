import io

import d3rlpy
import numpy as np
import pytest
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.data.buffer import FlatReplayBuffer
from offline_prune.errors import FixedDatasetError
from tests.worlds import dataset

KINDS = ("vector-continuous", "vector-discrete", "pixel-continuous", "pixel-discrete")


def episodes_of(kind, lengths, seed=0):
    """(d3rlpy episodes with T observations, the T + 1-th observation of each)."""
    rng = np.random.default_rng(seed)
    episodes, finals = [], []
    for length, terminated in lengths:
        if kind.startswith("pixel"):
            frames = rng.integers(0, 256, (length + 1, 2, 6, 6)).astype(np.uint8)
        else:
            frames = rng.normal(size=(length + 1, 3)).astype(np.float32)
        if kind.endswith("discrete"):
            actions = rng.integers(0, 4, (length, 1))
        else:
            actions = rng.normal(size=(length, 2)).astype(np.float32)
        rewards = rng.normal(size=(length, 1)).astype(np.float32)
        episodes.append(Episode(frames[:-1], actions, rewards, terminated))
        finals.append(frames[-1:])
    return episodes, finals


def flat(kind, lengths, semantics="d3rlpy", seed=0):
    episodes, finals = episodes_of(kind, lengths, seed)
    terminals = [np.arange(len(e)) == (len(e) - 1 if e.terminated else -1) for e in episodes]
    return FlatReplayBuffer(
        np.concatenate(
            [x for e, f in zip(episodes, finals, strict=True) for x in (e.observations, f)]
        ),
        np.concatenate([e.actions for e in episodes]),
        np.concatenate([e.rewards[:, 0] for e in episodes]),
        np.concatenate(terminals).astype(np.float32),
        np.cumsum([len(e) for e in episodes]),
        discrete=kind.endswith("discrete"),
        action_size=4 if kind.endswith("discrete") else 2,
        semantics=semantics,
    )


def stock(kind, lengths, seed=0):
    return ReplayBuffer(InfiniteBuffer(), episodes=episodes_of(kind, lengths, seed)[0])


FIELDS = (
    "observations",
    "actions",
    "rewards",
    "next_observations",
    "next_actions",
    "terminals",
    "intervals",
)
plans = st.lists(st.tuples(st.integers(2, 7), st.booleans()), min_size=1, max_size=5)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(plan=plans, seed=st.integers(0, 2**31))
def test_batches_are_d3rlpys_bit_for_bit(kind, plan, seed):
    ours, theirs = flat(kind, plan, seed=seed), stock(kind, plan, seed)
    assert ours.transition_count == theirs.transition_count
    np.random.seed(seed)
    a = [ours.sample_transition_batch(9) for _ in range(2)]
    after = np.random.get_state()[1]
    np.random.seed(seed)
    b = [theirs.sample_transition_batch(9) for _ in range(2)]
    np.testing.assert_array_equal(after, np.random.get_state()[1])
    for x, y in zip(a, b, strict=True):
        for field in FIELDS:
            found, expected = getattr(x, field), getattr(y, field)
            assert found.dtype == expected.dtype, field
            np.testing.assert_array_equal(found, expected, err_msg=field)
        for p, q in zip(x.transitions, y.transitions, strict=True):
            np.testing.assert_array_equal(p.rewards_to_go, q.rewards_to_go)
            np.testing.assert_array_equal(p.next_observation, q.next_observation)


@pytest.mark.parametrize("kind", KINDS)
def test_single_transitions_are_d3rlpys(kind):
    plan = [(4, True), (5, False), (3, True)]
    ours, theirs = flat(kind, plan), stock(kind, plan)
    np.random.seed(3)
    a = [ours.sample_transition() for _ in range(20)]
    np.random.seed(3)
    b = [theirs.sample_transition() for _ in range(20)]
    for p, q in zip(a, b, strict=True):
        assert p.terminal == q.terminal
        np.testing.assert_array_equal(p.observation, q.observation)
        np.testing.assert_array_equal(p.action, q.action)
        np.testing.assert_array_equal(p.reward, q.reward)
        np.testing.assert_array_equal(p.next_action, q.next_action)
        assert p.observation_signature == q.observation_signature


def test_exact_semantics_keep_the_last_transition_of_a_truncated_episode():
    plan = [(3, False), (2, True)]
    exact = flat("vector-continuous", plan, "exact")
    assert exact.transition_count == 5
    assert flat("vector-continuous", plan).transition_count == 4
    _, finals = episodes_of("vector-continuous", plan)
    batch = exact.batch_at(np.array([2, 4]))
    np.testing.assert_array_equal(batch.next_observations[0], finals[0][0])
    np.testing.assert_array_equal(batch.next_observations[1], finals[1][0])
    assert batch.terminals[:, 0].tolist() == [0.0, 1.0]
    assert not batch.next_actions.any()


def test_the_rest_of_the_interface():
    plan = [(4, True), (5, False)]
    ours, theirs = flat("vector-continuous", plan), stock("vector-continuous", plan)
    assert ours.size() == theirs.size() == 2
    assert ours.dataset_info == theirs.dataset_info
    for a, b in zip(ours.episodes, theirs.episodes, strict=True):
        np.testing.assert_array_equal(a.observations, b.observations)
        np.testing.assert_array_equal(a.rewards, b.rewards)
        assert (a.terminated, len(a)) == (b.terminated, len(b))
    for i in range(ours.transition_count):
        (a, t), (b, u) = ours.buffer[i], theirs.buffer[i]
        assert t == u
        np.testing.assert_array_equal(a.actions, b.actions)
    np.random.seed(1)
    x = ours.sample_trajectory_batch(6, 3)
    np.random.seed(1)
    y = theirs.sample_trajectory_batch(6, 3)
    np.testing.assert_array_equal(x.observations, y.observations)
    np.testing.assert_array_equal(x.returns_to_go, y.returns_to_go)


def test_dump_opens_in_d3rlpy():
    ours = flat("vector-discrete", [(4, True), (5, False)])
    file = io.BytesIO()
    ours.dump(file)
    again = FlatReplayBuffer.load(file, InfiniteBuffer())
    np.testing.assert_array_equal(again.episodes[1].actions, ours.episodes[1].actions)


def test_the_dataset_is_fixed():
    ours = flat("vector-continuous", [(4, True)])
    for change in (
        lambda: ours.append(np.zeros(3), np.zeros(2), 0.0),
        lambda: ours.append_episode(ours.episodes[0]),
        lambda: ours.clip_episode(True),
    ):
        with pytest.raises(FixedDatasetError, match="create_fifo_replay_buffer"):
            change()
    assert ours.transition_count == 4


def test_the_action_size_is_that_of_the_space_not_of_the_data():
    ours = flat("vector-discrete", [(2, True)])
    ours.actions[:] = 0
    assert ours.dataset_info.action_size == 4


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("vector-continuous", d3rlpy.algos.BCConfig(batch_size=8)),
        ("vector-continuous", d3rlpy.algos.IQLConfig(batch_size=8)),
        ("vector-continuous", d3rlpy.algos.CalQLConfig(batch_size=8, n_action_samples=2)),
        ("vector-discrete", d3rlpy.algos.DiscreteCQLConfig(batch_size=8)),
        ("pixel-discrete", d3rlpy.algos.DiscreteBCConfig(batch_size=8)),
    ],
)
def test_fit_just_works(kind, config):
    algo = config.create()
    algo.fit(
        dataset(kind).buffer,
        n_steps=2,
        n_steps_per_epoch=2,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )
    assert algo.grad_step == 2
