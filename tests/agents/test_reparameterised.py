"""Layers whose weights are computed are refused by name, with what to call first."""

import d3rlpy
import pytest
import torch
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm

from offline_prune import prune_then_train
from offline_prune.agents import Agent
from offline_prune.errors import AlgorithmError
from offline_prune.export import export_policy
from tests.worlds import dataset


def built():
    algo = d3rlpy.algos.BCConfig(batch_size=8).create()
    algo.create_impl((5,), 2)
    return algo


def layer(algo):
    return algo.impl.modules.imitator._encoder._layers[0]


def old_weight_norm(module):
    with pytest.warns(FutureWarning):
        torch.nn.utils.weight_norm(module)


WAYS = {
    "prune": (lambda m: prune.l1_unstructured(m, "weight", 0.5), "prune.remove"),
    "weight_norm": (old_weight_norm, "remove_weight_norm"),
    "parametrizations": (parametrizations.weight_norm, "remove_parametrizations"),
    "spectral_norm": (spectral_norm, "remove_spectral_norm"),
}


@pytest.mark.parametrize("way", WAYS)
def test_computed_weights_are_refused(tmp_path, way):
    change, remedy = WAYS[way]
    algo = built()
    change(layer(algo))
    data = dataset("vector-continuous")
    for call in (
        lambda: Agent.of(algo),
        lambda: prune_then_train(data, algo, 0.5, n_steps=1, evaluate=0, progress=False),
        lambda: export_policy(algo, tmp_path / "policy.pt", data.observations),
    ):
        with pytest.raises(AlgorithmError, match=f"imitator._encoder._layers.0 .*{remedy}"):
            call()
    assert not list(tmp_path.iterdir())


def test_the_named_call_helps():
    algo = built()
    prune.l1_unstructured(layer(algo), "weight", 0.5)
    prune.remove(layer(algo), "weight")
    Agent.of(algo)
    parametrizations.weight_norm(layer(algo))
    parametrize.remove_parametrizations(layer(algo), "weight")
    Agent.of(algo)
