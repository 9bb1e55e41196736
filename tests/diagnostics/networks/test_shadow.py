import random

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import MeanQFunctionFactory, VectorEncoderFactory

from offline_prune.diagnostics.networks.shadow import Shadow
from offline_prune.errors import AlgorithmError
from tests.worlds import CASES, agent

VECTOR = "vector-continuous"
SMALL = VectorEncoderFactory([8, 8])


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_the_networks_are_the_agents(kind, algo):
    subject = agent(kind, algo)
    shadow = Shadow.of(subject.algo)
    assert tuple(network.role for network in shadow.networks) == subject.roles
    for network, found in zip(subject.networks, shadow.networks, strict=True):
        shapes = [weight.shape for weight in network.weights.values()]
        assert [weight.shape for weight in found.weights] == shapes
    shadow.take(subject.algo)
    for network, found in zip(subject.networks, shadow.networks, strict=True):
        for weight, copy in zip(network.weights.values(), found.weights, strict=True):
            torch.testing.assert_close(copy, weight, rtol=0, atol=0)
            assert copy is not weight


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("AWAC", ["actor", "critic[0]", "critic[1]"]),
        ("DQN", ["critic[0]"]),
        ("DiscreteSAC", ["actor", "critic[0]", "critic[1]"]),
        ("BEAR", ["actor", "critic[0]", "critic[1]", "imitator"]),
        ("PLASWithPerturbation", ["actor", "critic[0]", "critic[1]", "imitator", "perturbation"]),
    ],
)
def test_algorithms_beyond_those_that_are_pruned(name, roles):
    algo = getattr(d3rlpy.algos, f"{name}Config")().create()
    algo.create_impl((3,), 2)
    shadow = Shadow.of(algo)
    assert sorted(network.role for network in shadow.networks) == sorted(roles)
    for network in shadow.networks:
        activity, features = network.observe(*shadow.zero_inputs())
        assert features.shape == (1, 256)
        assert len(activity) == 2 * len(network.modules)


def test_building_and_taking_touch_no_random_state_and_no_mode():
    subject = agent(VECTOR, "bcq")
    modules = subject.algo.impl.modules
    modules.set_train()
    before = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
    shadow = Shadow.of(subject.algo)
    shadow.take(subject.algo)
    assert (random.getstate(), str(np.random.get_state())) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert all(module.training for module in modules.get_torch_modules().values())
    assert not any(m.training for network in shadow.networks for m in network.modules)


def test_the_decoder_of_a_vae_reads_the_mean_of_the_code():
    subject = agent(VECTOR, "bcq")
    shadow = Shadow.of(subject.algo)
    shadow.take(subject.algo)
    imitator = shadow.networks[-1]
    modules = subject.algo.impl.modules
    x, action = torch.randn(4, 5), torch.randn(4, 2)
    with torch.no_grad():
        _, features = imitator.observe(x, action)
        mean = modules.vae_encoder(x, action).mean
        expected = modules.vae_decoder._encoder(x, mean)
    torch.testing.assert_close(features, expected)


def test_parameters_of_a_shared_encoder_belong_to_the_first_critic():
    shared = MeanQFunctionFactory(share_encoder=True)
    algo = d3rlpy.algos.TD3Config(q_func_factory=shared, critic_encoder_factory=SMALL).create()
    algo.create_impl((3,), 2)
    _, first, second = Shadow.of(algo).networks
    assert [w.numel() for w in first.weights] == [40, 64, 8]
    assert [w.numel() for w in second.weights] == [8]
    assert first.encoders == second.encoders


def test_a_shadow_fits_its_config_and_shapes():
    config = d3rlpy.algos.DQNConfig(encoder_factory=SMALL)
    algo, other = config.create(), d3rlpy.algos.DQNConfig(encoder_factory=SMALL).create()
    algo.create_impl((3,), 2)
    other.create_impl((3,), 2)
    shadow = Shadow.of(algo)
    assert shadow.fits(algo)
    assert not shadow.fits(other)
    algo.create_impl((4,), 2)
    assert not shadow.fits(algo)


def test_refusals():
    with pytest.raises(AlgorithmError, match=r"agent\.algo"):
        Shadow.of(agent(VECTOR, "bc"))
    with pytest.raises(AlgorithmError, match="no networks yet"):
        Shadow.of(d3rlpy.algos.DQNConfig().create())
    algo = d3rlpy.algos.DQNConfig(encoder_factory=SMALL).create()
    algo.create_impl((3,), 2)
    shadow = Shadow.of(algo)
    algo.impl.modules.q_funcs[0]._fc = torch.nn.Linear(8, 5)
    with pytest.raises(AlgorithmError, match="q_funcs of DQN"):
        shadow.take(algo)
