"""Observation scalers are those of the whole array, without a copy of it."""

import dataclasses
import tracemalloc

import d3rlpy
import numpy as np
import pytest

from offline_prune.agents import observation_statistics
from offline_prune.agents.configure import configure
from tests.worlds import dataset

EPISODES, LENGTH, SIZE = 401, 1_997, 17  # no whole number of blocks


@pytest.fixture(scope="module")
def large():
    """Noise around large offsets, a column that is constant and one that is hardly not."""
    n = EPISODES * LENGTH
    frames = np.random.default_rng(0).normal(size=(n + EPISODES, SIZE)).astype(np.float32)
    frames += np.linspace(-3e4, 3e4, SIZE, dtype=np.float32)
    frames[:, 3], frames[:, 4] = 7.7, 1e-3
    frames[5, 4] = 2e-3
    frames[LENGTH :: LENGTH + 1] = 1e6  # last ones, from which no transition goes out
    made = dataclasses.replace(
        dataset("vector-continuous"),
        frames=frames,
        actions=np.zeros((n, 2), dtype=np.float32),
        rewards=np.zeros(n, dtype=np.float32),
        terminals=np.zeros(n, dtype=np.float32),
        timeouts=np.zeros(n, dtype=bool),
        ends=np.arange(LENGTH, n + 1, LENGTH),
    )
    assert len(made.buffer.rows) == n
    return made


def scaler(name, data):
    config = configure(d3rlpy.algos.BCConfig, {"observation_scaler": name}, data, 1000)
    return config.observation_scaler


@pytest.mark.slow
def test_standardising_is_that_of_the_whole_array(large):
    x = large.observations
    found = scaler("standard", large)
    assert found.mean.dtype == found.std.dtype == np.float64
    np.testing.assert_allclose(found.mean, x.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.std, x.std(axis=0, dtype=np.float64), rtol=1e-12, atol=1e-9)
    assert found.std[3] < 1e-9  # constant


def test_min_max_is_that_of_the_whole_array(large):
    x = large.observations
    found = scaler("min_max", large)
    assert found.minimum.dtype == found.maximum.dtype == np.float32
    low, high = x.min(axis=0), x.max(axis=0)
    np.testing.assert_array_equal(found.minimum, low)
    np.testing.assert_array_equal(found.maximum, np.where(low == high, low + 1, high))


@pytest.mark.parametrize("kind", ["vector-continuous", "pixel-continuous"])
def test_a_single_block_gives_the_very_same_numbers(kind):
    data = dataset(kind)
    x = data.observations
    found = scaler("standard", data)
    np.testing.assert_array_equal(found.mean, x.mean(axis=0, dtype=np.float64))
    np.testing.assert_array_equal(found.std, x.std(axis=0, dtype=np.float64))


def test_an_observation_larger_than_a_block_is_a_block(monkeypatch):
    monkeypatch.setattr(observation_statistics, "_NUMBERS", 1_000)
    data = dataset("pixel-continuous")
    x = data.observations
    found = scaler("standard", data)
    np.testing.assert_allclose(found.mean, x.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.std, x.std(axis=0, dtype=np.float64), rtol=1e-12)
    assert scaler("min_max", data).maximum.dtype == np.uint8


@pytest.mark.parametrize("name", ["standard", "min_max"])
def test_the_observations_are_not_copied(large, name):
    copy = large.frames.size * 8  # in float64
    tracemalloc.start()
    try:
        scaler(name, large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < copy / 4
