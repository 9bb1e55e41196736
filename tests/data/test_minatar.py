"""minatar/breakout-v0: a dataset of images, collected by a learned policy."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from offline_prune import prune_then_train
from offline_prune.agents import build_agent
from offline_prune.data import list_dataset_recipes, load_dataset, make_environment
from offline_prune.data.made.collect import collect
from offline_prune.data.made.learned_behaviour import ImageQNetwork, epsilon_greedy
from offline_prune.data.made.store import local_path
from offline_prune.data.sources.minari_source import from_minari
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.errors import InputError
from offline_prune.recipes.shipped_files import shipped
from tests.data.references import measure_references

RECIPE = list_dataset_recipes()["minatar/breakout-v0"]
POLICY = shipped("datasets") / "bundled" / RECIPE.collection["policy"]


def _part(name, episodes):
    """The dataset with fewer episodes."""
    plan = {**RECIPE.collection, "episodes": [episodes] * len(RECIPE.collection["noise"])}
    return dataclasses.replace(RECIPE, id=f"minatar/{name}", collection=plan)


@pytest.fixture(scope="session")
def part():
    """5 episodes of every noise level."""
    return _part("part-v0", 5)


@pytest.fixture
def data(part):
    if not local_path(part.id).exists():
        collect(part)
    return load_dataset(part.id)


def _network(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "kernel": (16, 4, 3, 3),
        "kernel_bias": (16,),
        "hidden": (128, 1024),
        "hidden_bias": (128,),
        "output": (3, 128),
        "output_bias": (3,),
    }
    return ImageQNetwork.rounded(**{n: rng.uniform(-1, 1, s) for n, s in shapes.items()})


def test_images_reach_d3rlpy_as_bytes(data):
    assert data.frames.dtype == np.uint8
    assert data.frames.shape[1:] == data.metadata.observation_shape == (4, 10, 10)
    assert set(np.unique(data.frames)) == {0, 255}
    signature = data.buffer.dataset_info.observation_signature
    assert signature.dtype == [np.uint8]
    assert data.buffer.frames is data.frames
    assert data.buffer.sample_transition().observation.dtype == np.uint8
    assert data.metadata.action_size == 3
    assert np.shares_memory(data.buffer.episodes[0].observations, data.frames)


def test_images_are_stored_as_they_were_seen(data, part):
    with h5py.File(local_path(part.id) / "data" / "main_data.hdf5") as file:
        stored = file["episode_0"]["observations"]
        assert stored.dtype == np.uint8
        stored = stored[()]
    environment = make_environment(data.metadata)
    seen = [environment.reset(seed=part.collection["seed"])[0]]
    seen += [environment.step(int(a))[0] for a in data.actions[: len(stored) - 1, 0]]
    np.testing.assert_array_equal(stored, seen)
    np.testing.assert_array_equal(data.frames[: len(seen)], seen)


def test_it_is_the_same_every_time(data):
    again = from_minari(collect(_part("again-v0", 5)))
    for field in ("frames", "actions", "rewards", "terminals", "ends"):
        np.testing.assert_array_equal(getattr(data, field), getattr(again, field))


def test_more_noise_earns_less(data):
    starts = np.concatenate([[0], data.ends[:-1]])
    returns = np.add.reduceat(data.rewards, starts).reshape(-1, 5).mean(axis=1)
    assert returns[0] > 2 * returns[-1]


@pytest.mark.slow
def test_reference_scores_measure_again():
    assert "seeds 0 to 99" in RECIPE.reference_source
    low, high = measure_references(RECIPE, range(100))
    assert low == pytest.approx(RECIPE.reference_min, abs=1e-6)
    assert high == pytest.approx(RECIPE.reference_max, abs=1e-6)
    assert high > 4


def test_the_policy_is_small_and_exact(tmp_path):
    assert POLICY.stat().st_size < 600_000
    network = ImageQNetwork.load(POLICY)
    for f in dataclasses.fields(network):
        array = getattr(network, f.name)
        np.testing.assert_array_equal(array * 1024, np.round(array * 1024))
    network.save(tmp_path / "copy.safetensors")
    again = ImageQNetwork.load(tmp_path / "copy.safetensors")
    for f in dataclasses.fields(network):
        np.testing.assert_array_equal(getattr(network, f.name), getattr(again, f.name))


@given(st.integers(0, 2**32 - 1))
def test_the_network_computes_without_rounding(seed):
    network = _network()
    observation = np.random.default_rng(seed).integers(0, 2, (4, 10, 10)).astype(np.uint8) * 255
    w = {f.name: torch.from_numpy(getattr(network, f.name)) for f in dataclasses.fields(network)}
    x = torch.from_numpy(observation / 255.0)
    maps = torch.nn.functional.conv2d(x[None], w["kernel"], w["kernel_bias"]).relu()
    hidden = (w["hidden"] @ maps.reshape(-1) + w["hidden_bias"]).relu()
    values = network.values(observation)
    # Another library, another order of summation, the same bits.
    np.testing.assert_array_equal(values, (w["output"] @ hidden + w["output_bias"]).numpy())
    np.testing.assert_array_equal(values * 2.0**30, np.round(values * 2.0**30))


def test_rounding():
    weights = {f.name: getattr(_network(), f.name) for f in dataclasses.fields(ImageQNetwork)}
    kernel = np.full((16, 4, 3, 3), 0.3)
    network = ImageQNetwork.rounded(**{**weights, "kernel": kernel})
    np.testing.assert_array_equal(network.kernel, np.full_like(kernel, 307 / 1024))
    for wrong in (2.0, np.nan):
        with pytest.raises(InputError, match="kernel"):
            ImageQNetwork.rounded(**{**weights, "kernel": np.full((16, 4, 3, 3), wrong)})


def test_epsilon_greedy():
    network = _network()
    observation = np.random.default_rng(3).integers(0, 2, (4, 10, 10)).astype(np.uint8) * 255
    act = epsilon_greedy(network)
    rng = np.random.default_rng(0)
    best = int(np.argmax(network.values(observation)))
    assert {int(act(observation, 0.0, rng)) for _ in range(20)} == {best}
    chosen = [int(act(observation, 0.3, rng)) for _ in range(2000)]
    assert np.mean(np.array(chosen) == best) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("algo", ["bc", "bcq", "cql"])
def test_recipes_give_images_the_impala_encoder(data, algo):
    built = build_agent(data, algo)
    config = built.agent.algo.config
    assert config.encoder_factory == ImpalaEncoderFactory()
    assert config.observation_scaler.get_type() == "pixel"
    if algo == "cql":
        assert (config.alpha, config.learning_rate, config.batch_size) == (1.0, 2.5e-4, 32)
        assert (config.optim_factory.eps, config.gamma) == (3.125e-4, 0.99)
        assert built.n_steps == 10_000


def test_natures_network_is_refused(data):
    with pytest.raises(InputError, match=r"36×36.*'small'"):
        build_agent(data, "cql", algo_params={"encoder": "nature"})


@pytest.mark.slow
def test_from_the_dataset_to_a_score(data):
    result = prune_then_train(
        data,
        "cql",
        0.5,
        n_steps=20,
        evaluate=1,
        algo_params={"encoder": "impala"},
        progress=False,
    )
    assert result.evaluation.reason is None
    assert result.evaluation.mean_return >= 0
    assert result.evaluation.normalized_score is not None
