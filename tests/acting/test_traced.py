"""Encoders that are no stack of layers lose what nobody reads."""

import sys

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import PixelEncoderFactory, QRQFunctionFactory
from d3rlpy.preprocessing import PixelObservationScaler

from offline_prune import prune_then_train
from offline_prune.acting.traced import WholeEncoderWarning, remove_unread_units
from offline_prune.agents.traced_units import traced_units
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.errors import AlgorithmError
from offline_prune.export import acting_policy, export_policy
from tests.export.agents import built
from tests.worlds import dataset

CONTINUOUS, DISCRETE = "pixel-continuous", "pixel-discrete"


def config(kind, pooled=False, quantiles=0):
    factory = ImpalaEncoderFactory(filters=[6, 8], feature_size=16, pooled=pooled)
    options = {"encoder_factory": factory, "observation_scaler": PixelObservationScaler()}
    if kind == CONTINUOUS:
        return d3rlpy.algos.BCConfig(**options)
    if quantiles:
        options["q_func_factory"] = QRQFunctionFactory(n_quantiles=quantiles)
    return d3rlpy.algos.DoubleDQNConfig(n_critics=2, **options)


@torch.no_grad()
def without_channels(algo):
    """Cut what reads two channels of stage 0 and one of stage 1; biases are not zero."""
    modules = algo.impl.modules
    owners = [modules.imitator] if hasattr(modules, "imitator") else list(modules.q_funcs)
    for owner in owners:
        first, second = owner._encoder.torso.stages
        for block in first.blocks:
            block.first.weight[:, [0, 5]] = 0.0
        second.convolution.weight[:, [0, 5]] = 0.0
        for block in second.blocks:
            block.first.weight[:, 3] = 0.0
        columns = owner._encoder.last.weight.shape[1] // 8
        owner._encoder.last.weight[:, 3 * columns : 4 * columns] = 0.0
        (head,) = [m for m in owner.children() if m is not owner._encoder]
        head.weight[:, 4:] = 0.0
    return algo


def sizes(encoder):
    return [
        (stage.convolution.out_channels, *(block.first.out_channels for block in stage.blocks))
        for stage in encoder.torso.stages
    ] + [encoder.last.out_features]


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("kind", [CONTINUOUS, DISCRETE])
def test_channels_that_nobody_reads_leave(kind, pooled, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)  # nothing has to be traced
    algo = without_channels(built(config(kind, pooled), kind, density=1.0))
    x = dataset(kind).observations[:16]
    policy = acting_policy(algo)
    for network in policy.networks:
        assert sizes(network[0]) == [(4, 6, 6), (7, 8, 8), 4]
    if kind == CONTINUOUS:
        expected = algo.predict(x)
        np.testing.assert_allclose(policy(torch.tensor(x)).numpy(), expected, atol=1e-6)
    else:
        outputs = policy.outputs(torch.tensor(x).float()).reshape(16, 2, 3).mean(dim=1)
        expected = [algo.predict_value(x, np.full(16, action)) for action in range(3)]
        np.testing.assert_allclose(outputs.numpy(), np.stack(expected, axis=1), atol=1e-6)
    n_weights = sum(w.numel() for w in _weights(algo))
    assert policy.n_weights == n_weights
    assert policy.n_nonzero == sum(int(w.count_nonzero()) for w in _weights(algo))
    stages = 9 * (2 * 4 + 4 * (4 * 6)) + 9 * (4 * 7 + 4 * (7 * 8))  # 36 → 18 → 9 pixels
    last = 7 * (1 if pooled else 81) * 4 + 4 * (2 if kind == CONTINUOUS else 3)
    exported = sum(p.numel() for p in policy.parameters() if p.dim() > 1)
    assert exported == (stages + last) * len(policy.networks)
    assert not any(p.requires_grad for p in policy.parameters())


def _weights(algo):
    owners = algo.impl.modules.get_torch_modules()
    owner = owners["imitator"] if "imitator" in owners else owners["q_funcs"]
    return [p.detach() for p in owner.parameters() if p.dim() > 1]


@pytest.mark.parametrize("encoder", ["impala", "pixels"])
def test_critics_of_quantiles(encoder):
    pytest.importorskip("torch_pruning")
    made = config(DISCRETE, quantiles=4)
    if encoder == "pixels":
        made.encoder_factory = PixelEncoderFactory([[8, 4, 2], [6, 3, 1]], 16)
    algo = built(made, DISCRETE, density=1.0)
    with torch.no_grad():
        for owner in algo.impl.modules.q_funcs:
            owner._fc.weight[:, 1:9] = 0.0
            if encoder == "pixels":
                owner._encoder._cnn_layers[2].weight[:, :3] = 0.0
    policy = acting_policy(algo)
    x = dataset(DISCRETE).observations[:16]
    values = policy.outputs(torch.tensor(x).float()).reshape(16, 2, 3).mean(dim=1)
    expected = [algo.predict_value(x, np.full(16, action)) for action in range(3)]
    np.testing.assert_allclose(values.numpy(), np.stack(expected, axis=1), atol=1e-6)
    for network in policy.networks:
        assert network.owner._fc.weight.shape == (12, 8)
        if encoder == "pixels":
            assert network.owner._encoder._cnn_layers[0].out_channels == 5


def test_nothing_leaves_where_nothing_is_pruned(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)  # nothing has to be traced
    algo = built(config(CONTINUOUS), CONTINUOUS, density=1.0)
    policy = acting_policy(algo)
    assert sizes(policy.networks[0][0]) == [(6, 6, 6), (8, 8, 8), 16]


def test_without_torch_pruning_the_encoder_is_whole(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(AlgorithmError, match="structured"):
        traced_units(torch.nn.Linear(2, 2), [torch.zeros(2, 2)], [], {})
    made = config(DISCRETE, quantiles=4)
    made.encoder_factory = PixelEncoderFactory([[8, 4, 2], [6, 3, 1]], 16)
    algo = built(made, DISCRETE, density=1.0)
    with torch.no_grad():
        algo.impl.modules.q_funcs[0]._fc.weight[:, 1:9] = 0.0
    with pytest.warns(WholeEncoderWarning, match=r"offline-prune\[structured\]"):
        policy = acting_policy(algo)
    assert policy.networks[0].owner._fc.weight.shape == (12, 16)
    x = dataset(DISCRETE).observations[:8]
    np.testing.assert_array_equal(policy(torch.tensor(x)).numpy(), algo.predict(x))


def test_layers_between_an_encoder_and_its_head_read_it_too():
    pytest.importorskip("torch_pruning")
    encoder = ImpalaEncoderFactory(filters=[6, 8], feature_size=16).create((2, 12, 12))
    network = torch.nn.Sequential(encoder, torch.nn.Linear(16, 9), torch.nn.Linear(9, 3))
    with torch.no_grad():
        network[1].weight[:, 4:] = 0.0
        network[2].weight[:, :2] = 0.0
    x = torch.rand(3, 2, 12, 12)
    expected = network(x)
    remove_unread_units(network, encoder, [network[2]], (2, 12, 12))
    assert (encoder.last.out_features, network[1].out_features) == (4, 7)
    torch.testing.assert_close(network(x), expected)


class Mixing(ImpalaEncoderFactory):
    """Another encoder of the user's own."""

    def create(self, observation_shape):
        encoder = super().create(observation_shape)
        encoder.__class__ = type("MixingEncoder", (type(encoder),), {"forward": _mixed})
        return encoder


def _mixed(self, x):
    return torch.softmax(self.last(self.torso(x)), dim=1)


def test_an_encoder_that_may_mix_units_is_whole():
    made = config(CONTINUOUS)
    made.encoder_factory = Mixing(filters=[6, 8], feature_size=16)
    algo = without_channels(built(made, CONTINUOUS, density=1.0))
    policy = acting_policy(algo)
    assert sizes(policy.networks[0][0]) == [(6, 6, 6), (8, 8, 8), 16]
    x = dataset(CONTINUOUS).observations[:8]
    np.testing.assert_allclose(policy(torch.tensor(x)).numpy(), algo.predict(x), atol=1e-6)


@pytest.mark.parametrize("pooled", [False, True])
def test_structured_pruning_makes_small_files(pooled, tmp_path):
    result = prune_then_train(
        dataset(DISCRETE),
        "cql",
        0.8,
        method="structured(interval=1, end=0.5)",
        n_steps=8,
        evaluate=0,
        progress=False,
        algo_params={
            "encoder_factory": ImpalaEncoderFactory(
                filters=[12, 16], feature_size=24, pooled=pooled
            ),
            "batch_size": 8,
            "observation_scaler": "pixel",
        },
    )
    observations = dataset(DISCRETE).observations
    written = export_policy(result.algo, tmp_path / "policy.pt", observations)
    assert written.n_checked == len(observations)
    assert written.n_exported == written.n_nonzero  # structured: no zeros are left
    assert written.n_nonzero <= 0.2 * written.n_weights
