"""Transitions of stacked frames and of several steps, from frames that are kept once."""

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.dataset import (
    BasicTransitionPicker,
    Episode,
    FrameStackTransitionPicker,
    InfiniteBuffer,
    MultiStepTransitionPicker,
    ReplayBuffer,
)
from d3rlpy.torch_utility import TorchMiniBatch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune import prune
from offline_prune.agents import build_agent
from offline_prune.data import load_dataset
from offline_prune.data.buffer import FlatReplayBuffer
from offline_prune.data.corruption import CORRUPTIONS
from offline_prune.data.picking import Picking, discounted_returns
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.evaluation.off_policy.split import split_episodes
from tests.data.test_buffer import FIELDS, KINDS, episodes_of, flat, plans

PICKERS = {
    "basic": lambda n: BasicTransitionPicker(),
    "frames": FrameStackTransitionPicker,
    "steps": lambda n: MultiStepTransitionPicker(n, 0.9),
}
LONG = [(5, True), (7, False), (6, True), (4, False), (9, True)] * 3


def stock(kind, lengths, picker, seed=0):
    return ReplayBuffer(
        InfiniteBuffer(), transition_picker=picker, episodes=episodes_of(kind, lengths, seed)[0]
    )


def gentle(kind, picker):
    """Some longer episodes, with actions that policies reach."""
    source = stock(kind, LONG, picker)
    for episode in source.episodes if kind.endswith("continuous") else ():
        np.multiply(episode.actions, 0.1, out=episode.actions)
    return source


def assert_same_batches(ours, theirs, seed=0):
    assert ours.transition_count == theirs.transition_count
    np.random.seed(seed)
    a = [ours.sample_transition_batch(9) for _ in range(3)]
    np.random.seed(seed)
    b = [theirs.sample_transition_batch(9) for _ in range(3)]
    for x, y in zip(a, b, strict=True):
        for field in FIELDS:
            found, expected = getattr(x, field), getattr(y, field)
            assert found.dtype == expected.dtype, field
            np.testing.assert_array_equal(found, expected, err_msg=field)
        for p, q in zip(x.transitions, y.transitions, strict=True):
            assert (p.terminal, p.interval) == (q.terminal, q.interval)
            assert p.observation_signature == q.observation_signature
            np.testing.assert_array_equal(p.observation, q.observation)
            np.testing.assert_array_equal(p.next_observation, q.next_observation)
            np.testing.assert_array_equal(p.reward, q.reward.astype(np.float32))
            np.testing.assert_array_equal(p.next_action, q.next_action)


@pytest.mark.parametrize("picker", PICKERS)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(plan=plans, n=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_a_loaded_buffer_draws_as_d3rlpys_does_bit_for_bit(kind, picker, plan, n, seed):
    theirs = stock(kind, plan, PICKERS[picker](n), seed)
    assert_same_batches(load_dataset(theirs).buffer, theirs, seed)


@pytest.mark.parametrize("picker", ["frames", "steps"])
@settings(max_examples=15, deadline=None)
@given(plan=plans, n=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_so_does_a_flat_buffer_with_d3rlpys_semantics(picker, plan, n, seed):
    source = flat("pixel-continuous", plan, "d3rlpy", seed)
    ours = FlatReplayBuffer(
        source.frames, source.actions, source.rewards, source.terminals, source.ends,
        discrete=False, action_size=2, semantics="d3rlpy",
        picking=Picking(frames=n) if picker == "frames" else Picking(steps=n, gamma=0.9),
    )  # fmt: skip
    theirs = stock("pixel-continuous", plan, PICKERS[picker](n), seed)
    assert_same_batches(ours, theirs, seed)
    for a, b in zip(ours.sample_transition_batch(4).transitions, range(4), strict=True):
        assert a.rewards_to_go.shape[1] == 1, b
    i = ours.transition_count - 1
    expected = theirs.transition_picker(*theirs.buffer[i])
    np.testing.assert_array_equal(ours.transition_at(i).rewards_to_go, expected.rewards_to_go)
    assert ours.dataset_info == theirs.dataset_info


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 130])
def test_returns_are_summed_in_d3rlpys_order(length):
    rng = np.random.default_rng(length)
    rewards = (rng.normal(size=300) * 10.0 ** rng.integers(-6, 6, 300)).astype("f4")
    steps = np.minimum(length, 300 - np.arange(300))
    episode = Episode(np.zeros((300, 1), "f4"), np.zeros((300, 1), "f4"), rewards[:, None], True)
    picker = MultiStepTransitionPicker(length, 0.97)
    expected = [picker(episode, i).reward[0] for i in range(300)]
    found = discounted_returns(rewards, steps, 0.97)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_frames_are_kept_once():
    """Four stacked 84×84 frames of bytes cost what one does, where stacks cost four times it."""
    frames = np.random.default_rng(0).integers(0, 256, (60, 1, 84, 84)).astype("u1")
    halves = np.full((30, 1), 0.5, "f4")
    source = ReplayBuffer(
        InfiniteBuffer(), transition_picker=FrameStackTransitionPicker(4),
        episodes=[Episode(f, halves, halves, True) for f in (frames[:30], frames[30:])],
    )  # fmt: skip
    data = load_dataset(source)
    held = [v for v in (*vars(data).values(), *vars(data.buffer).values())
            if isinstance(v, np.ndarray)]  # fmt: skip
    bytes_held = sum({id(v): v.nbytes for v in held}.values())
    frame = 84 * 84
    assert data.frames.nbytes == 62 * frame  # with one after each episode
    assert data.observations.nbytes == 60 * 4 * frame
    assert bytes_held < 1.1 * 62 * frame < 0.3 * data.observations.nbytes


def recorded(terminated, kind="vector-continuous"):
    """Exact data of two episodes, with what followed their last steps."""
    return flat(kind, [(5, terminated), (6, terminated)], "exact")


@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize("kind", ["vector-continuous", "pixel-discrete"])
def test_known_final_observations_are_led_to(kind, terminated):
    one = recorded(terminated, kind)
    both = FlatReplayBuffer(
        one.frames, one.actions, one.rewards, one.terminals, one.ends,
        discrete=kind.endswith("discrete"), action_size=4, picking=Picking(3, 4, 0.5),
    )  # fmt: skip
    assert both.transition_count == 11
    batch = both.batch_at(np.arange(11))
    for start, length, first in ((0, 5, 0), (5, 6, 6)):
        padded = np.concatenate([np.zeros_like(one.frames[:2]), one.frames[first:]])
        for t in range(length):
            i, n = start + t, min(4, length - t)

            def stack(k, padded=padded):
                return np.concatenate(padded[k : k + 3])

            np.testing.assert_array_equal(batch.observations[i], stack(t))
            np.testing.assert_array_equal(batch.next_observations[i], stack(t + n))
            expected = sum(0.5**k * float(one.rewards[i + k]) for k in range(n))
            assert batch.rewards[i, 0] == pytest.approx(expected, rel=1e-6)
            assert batch.intervals[i, 0] == n
            assert batch.terminals[i, 0] == (terminated and t + n == length)
            last = t + n == length
            following = 0 * one.actions[0] if last else one.actions[i + n]
            np.testing.assert_array_equal(batch.next_actions[i], following)
    assert (
        both.transition_bytes
        == sum(getattr(batch, f)[0].nbytes for f in FIELDS if f != "next_actions")
        + batch.next_actions[0].nbytes
    )


def test_the_rest_follows_from_the_same_frames():
    data = load_dataset(gentle("vector-continuous", FrameStackTransitionPicker(2)))
    assert data.metadata.observation_shape == (6,)
    assert data.metadata.frame_stack == 2
    observations = data.observations
    np.testing.assert_array_equal(
        observations, np.concatenate([data.buffer.batch_at(np.arange(len(data))).observations])
    )
    for name, expected in (
        ("standard", (observations.mean(0), observations.std(0))),
        ("min_max", (observations.min(0), observations.max(0))),
    ):
        scaler = build_agent(
            data, "bc", algo_params={"observation_scaler": name, "hidden_units": [4]}
        ).agent.algo.config.observation_scaler
        found = [getattr(scaler, f) for f in ("mean", "std", "minimum", "maximum")
                 if hasattr(scaler, f)]  # fmt: skip
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        theirs = type(scaler)()
        config = d3rlpy.algos.BCConfig(observation_scaler=theirs)
        build_agent(data, config)
        assert theirs.built
        a, b = (s.transform_numpy(observations) for s in (theirs, scaler))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    rest, held = split_episodes(data, 0.3, seed=0)
    assert len(rest) + len(held) == len(data)
    assert held.observations.shape == (len(held), 6)
    assert {row.tobytes() for row in (*rest.observations, *held.observations)} == {
        row.tobytes() for row in observations
    }
    again = load_dataset(data.buffer)
    assert again.picking == data.picking


def test_actions_after_the_last_kept_step_go_where_actions_are_corrupted():
    source = gentle("vector-continuous", BasicTransitionPicker())
    data = load_dataset(source)
    assert data.final_actions is not None
    assert data.final_actions[0].tolist() == [0.0, 0.0]  # after a termination
    np.testing.assert_array_equal(data.final_actions[1], source.episodes[1].actions[-1])
    for name in ("actions", "noise"):
        assert CORRUPTIONS[name](data, 0).final_actions is None
    _, held = split_episodes(data, 0.3, seed=0)
    kept = {tuple(row) for row in data.final_actions.tolist()}
    assert {tuple(row) for row in held.final_actions.tolist()} < kept


@pytest.mark.parametrize("algo", ["IQL", "DDPG", "SAC", "DiscreteCQL"])
def test_the_losses_that_score_see_several_steps_as_d3rlpys_do(algo):
    kind = "vector-discrete" if algo.startswith("Discrete") else "vector-continuous"
    source = gentle(kind, MultiStepTransitionPicker(3, 0.9))
    data = load_dataset(source)
    config = getattr(d3rlpy.algos, f"{algo}Config")(gamma=0.9)
    agent = build_agent(data, config).agent
    np.random.seed(0)
    theirs = TorchMiniBatch.from_batch(
        batch=source.sample_transition_batch(32), gamma=0.9, compute_returns_to_go=False,
        device="cpu",
    )  # fmt: skip
    np.random.seed(0)
    ours = TorchMiniBatch.from_batch(
        batch=data.buffer.sample_transition_batch(32), gamma=0.9, compute_returns_to_go=False,
        device="cpu",
    )  # fmt: skip
    assert set(ours.intervals.flatten().tolist()) == {1.0, 2.0, 3.0}
    single = TorchMiniBatch.from_batch(
        batch=data.with_n_steps(1, 0.9).buffer.batch_at(np.arange(32)), gamma=0.9,
        compute_returns_to_go=False, device="cpu",
    )  # fmt: skip
    for network in agent.networks:
        torch.manual_seed(0)
        expected = network.loss(theirs)
        torch.manual_seed(0)
        assert torch.equal(network.loss(ours), expected)
        if network.role.startswith("critic"):
            assert not torch.equal(network.loss(single), expected)
    (drawn,) = agent.host.draw_batches(data, 1, seed=0)
    assert drawn.intervals.max() == 3


def test_training_on_several_steps_is_d3rlpys():
    weights = []
    source = gentle("vector-continuous", MultiStepTransitionPicker(3, 0.9))
    config = d3rlpy.algos.TD3PlusBCConfig(batch_size=16, gamma=0.9)
    for buffer in (source, load_dataset(source).buffer):
        algo = config.create()
        d3rlpy.seed(0)
        algo.build_with_dataset(buffer)
        for _ in range(5):
            algo.update(buffer.sample_transition_batch(16))
        weights.append([p.detach().clone() for p in algo.impl.q_function.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_what_is_refused():
    data = load_dataset(gentle("vector-continuous", BasicTransitionPicker()))
    for call in (
        lambda: data.with_frame_stack(0),
        lambda: data.with_n_steps(1.5, 0.9),
        lambda: data.with_n_steps(2, 1.5),
        lambda: data.with_n_steps(2, float("nan")),
    ):
        with pytest.raises(InputError, match=r"frames|steps|gamma"):
            call()
    with pytest.raises(AlgorithmError, match="one step ahead"):
        prune(data.with_n_steps(2, 0.9), "iql", 0.5, algo_params={"encoder": "ofenet"})
    agent, _ = prune(data.with_n_steps(2, 0.9), "iql", 0.5, algo_params={"hidden_units": [4]})
    agent.release()
