import random

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.dataset import (
    Episode,
    FIFOBuffer,
    FrameStackTransitionPicker,
    ReplayBuffer,
    Signature,
)
from d3rlpy.preprocessing import MinMaxActionScaler, StandardObservationScaler

from offline_prune.diagnostics.networks.probe import draw_probe
from offline_prune.errors import DatasetError
from tests.worlds import agent, dataset, long_dataset, source


def global_states():
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


def test_a_seed_draws_distinct_transitions_and_nobody_notices():
    data = long_dataset()
    before = global_states()
    probe = draw_probe(data, 100, seed=3)
    assert global_states() == before
    again, other = draw_probe(data, 100, seed=3), draw_probe(data, 100, seed=4)
    np.testing.assert_array_equal(probe.observations, again.observations)
    assert not np.array_equal(probe.observations, other.observations)
    assert len(np.unique(probe.observations, axis=0)) == 100
    pairs = {x.tobytes(): a.tobytes() for x, a in zip(data.observations, data.actions, strict=True)}
    for x, a in zip(probe.observations, probe.actions, strict=True):
        assert pairs[x.tobytes()] == a.tobytes()


@pytest.mark.parametrize("data", [dataset("vector-discrete"), source("vector-discrete")])
def test_fewer_transitions_than_asked_for_are_all_taken(data):
    probe = draw_probe(data, 512, seed=0)
    assert len(probe.observations) == len(probe.actions) == 96
    assert len(np.unique(probe.observations, axis=0)) == 96


def test_pixels_stay_bytes_until_they_are_scaled():
    probe = draw_probe(dataset("pixel-continuous"), 8, seed=0)
    assert probe.observations.dtype == np.uint8
    ((x, action),) = probe.batches(agent("pixel-continuous", "td3_plus_bc").algo)
    assert x.dtype == action.dtype == torch.float32
    np.testing.assert_allclose(x.numpy(), probe.observations / 255)
    assert action.shape == (8, 2)


def stock(**options):
    algo = d3rlpy.algos.TD3Config(**options).create()
    algo.create_impl((5,), 2)
    return algo


def test_large_probes_come_in_parts_that_add_up():
    probe = draw_probe(long_dataset(), 300, seed=0)
    batches = list(probe.batches(stock()))
    assert [len(x) for x, _ in batches] == [128, 128, 44]
    np.testing.assert_array_equal(torch.cat([x for x, _ in batches]), probe.observations)
    np.testing.assert_array_equal(torch.cat([a for _, a in batches]), probe.actions)


def test_scalers_are_applied():
    probe = draw_probe(dataset("vector-continuous"), 20, seed=0)
    algo = stock(
        observation_scaler=StandardObservationScaler(np.full(5, 3.0), np.full(5, 2.0), eps=0.0),
        action_scaler=MinMaxActionScaler(np.full(2, -4.0), np.full(2, 4.0)),
    )
    ((x, action),) = probe.batches(algo)
    np.testing.assert_allclose(x, (probe.observations - 3) / 2, rtol=1e-5)
    np.testing.assert_allclose(action, probe.actions / 4, rtol=1e-5, atol=1e-6)


def test_discrete_actions_are_whole_numbers():
    probe = draw_probe(dataset("vector-discrete"), 8, seed=0)
    ((_, action),) = probe.batches(agent("vector-discrete", "cql").algo)
    assert action.dtype == torch.int64
    assert action.shape == (8, 1)


def test_a_buffers_own_picker_is_asked():
    stacked = ReplayBuffer(
        FIFOBuffer(100),
        transition_picker=FrameStackTransitionPicker(3),
        episodes=[
            Episode(
                np.random.default_rng(0).integers(0, 256, (9, 1, 4, 4)).astype(np.uint8),
                np.zeros((9, 1), np.int64),
                np.zeros((9, 1), np.float32),
                True,
            )
        ],
    )
    assert draw_probe(stacked, 5, seed=0).observations.shape == (5, 3, 4, 4)


def test_an_empty_buffer_is_refused():
    signatures = {
        f"{name}_signature": Signature([np.dtype(np.float32)], [(1,)])
        for name in ("observation", "action", "reward")
    }
    info = source("vector-discrete").dataset_info
    empty = ReplayBuffer(
        FIFOBuffer(10), action_space=info.action_space, action_size=2, **signatures
    )
    with pytest.raises(DatasetError, match="empty"):
        draw_probe(empty, 5, seed=0)


def test_tuple_observations_are_refused():
    rows = np.zeros((4, 2), np.float32)
    episode = Episode([rows, rows], rows, rows[:, :1], True)
    with pytest.raises(DatasetError, match="tuple"):
        draw_probe(ReplayBuffer(FIFOBuffer(10), episodes=[episode]), 2, seed=0)
