"""Every transition against the raw HDF5 that Minari wrote."""

import h5py
import numpy as np
import pytest
from gymnasium.spaces import Box
from hypothesis import given, settings
from hypothesis import strategies as st
from minari.data_collector.episode_buffer import EpisodeBuffer

from offline_prune.data import load_dataset
from offline_prune.data.made.store import write_dataset

ENDS = {
    "terminated": (True, False),
    "truncated": (False, True),
    "both": (True, True),
    "neither": (False, False),
}


def episode(rng, length, end):
    flags = np.zeros((2, length), dtype=bool)
    flags[:, -1] = ENDS[end]
    return EpisodeBuffer(
        observations=rng.normal(size=(length + 1, 3)),
        actions=rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        rewards=rng.normal(size=length),
        terminations=flags[0],
        truncations=flags[1],
    )


def write(path, episodes, **options):
    options = {
        "observation_space": Box(-np.inf, np.inf, (3,), np.float64),
        "action_space": Box(-1, 1, (2,), np.float32),
        "env_spec": None,
        "metadata": {},
        **options,
    }
    return write_dataset("test/made-v0", episodes, path=path, **options)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from(list(ENDS))), min_size=1, max_size=6),
    st.integers(0, 2**31),
)
def test_transitions_are_those_of_the_file(tmp_path_factory, plan, seed):
    path = tmp_path_factory.mktemp("aligned") / "set"
    rng = np.random.default_rng(seed)
    write(path, [episode(rng, length, end) for length, end in plan])
    data = load_dataset(path)
    i = 0
    with h5py.File(path / "data" / "main_data.hdf5") as file:
        for k, (length, end) in enumerate(plan):
            raw = file[f"episode_{k}"]
            observations = raw["observations"][()].astype(np.float32)
            assert len(observations) == length + 1
            for t in range(length):
                np.testing.assert_array_equal(data.observations[i], observations[t])
                np.testing.assert_array_equal(data.next_observations[i], observations[t + 1])
                np.testing.assert_array_equal(data.actions[i], raw["actions"][t])
                assert data.rewards[i] == np.float32(raw["rewards"][t])
                last = t == length - 1
                terminated = last and end in ("terminated", "both")
                assert bool(data.terminals[i]) == terminated
                assert bool(data.timeouts[i]) == (last and not terminated)
                i += 1
    assert len(data) == i == data.metadata.steps == data.buffer.transition_count
    assert data.metadata.episodes == len(plan)
    # A mini-batch shows the same rows, the last transition of a truncated episode too.
    batch = data.buffer.batch_at(np.arange(i))
    np.testing.assert_array_equal(batch.observations, data.observations)
    np.testing.assert_array_equal(batch.next_observations, data.next_observations)
    np.testing.assert_array_equal(batch.terminals[:, 0], data.terminals)


def test_returns_and_references(tmp_path):
    rng = np.random.default_rng(0)
    episodes = [episode(rng, n, "truncated") for n in (3, 5)]
    write(tmp_path / "set", episodes, metadata={"ref_min_score": -1.0, "ref_max_score": 3.0})
    metadata = load_dataset(tmp_path / "set").metadata
    returns = [float(np.sum(e.rewards)) for e in episodes]
    assert metadata.mean_return == pytest.approx(np.mean(returns), abs=1e-5)
    assert metadata.std_return == pytest.approx(np.std(returns), abs=1e-5)
    assert metadata.normalized_score(1.0) == 0.5
    assert metadata.dataset_id == "test/made-v0"


def test_a_filtered_dataset_keeps_its_filter(tmp_path):
    rng = np.random.default_rng(0)
    whole = write(tmp_path / "set", [episode(rng, n, "truncated") for n in (2, 3, 4)])
    data = load_dataset(whole.filter_episodes(lambda e: len(e.rewards) != 3))
    assert len(data) == 6
    assert data.ends.tolist() == [2, 6]


def test_folder_data_folder_and_dataset_are_the_same(tmp_path):
    rng = np.random.default_rng(0)
    whole = write(tmp_path / "set", [episode(rng, 4, "terminated")])
    for source in (tmp_path / "set", tmp_path / "set" / "data", str(tmp_path / "set"), whole):
        np.testing.assert_array_equal(load_dataset(source).rewards, load_dataset(whole).rewards)
    data = load_dataset(whole)
    assert load_dataset(data) is data


def test_d3rlpys_own_loader_is_shifted(tmp_path, monkeypatch):
    """Why this package reads Minari itself: episode k comes out k rows late."""
    import d3rlpy
    import minari

    rng = np.random.default_rng(0)
    whole = write(
        tmp_path / "set",
        [episode(rng, 4, "terminated") for _ in range(3)],
        env_spec=__import__("gymnasium").spec("Pendulum-v1"),
    )
    monkeypatch.setattr(minari, "load_dataset", lambda *args, **kwargs: whole)
    stock, _ = d3rlpy.datasets.get_minari("test/made-v0")
    ours = load_dataset(whole)
    second = stock.episodes[1].observations
    assert not np.allclose(second[0], ours.observations[4])
    assert np.allclose(second[1], ours.observations[4])
