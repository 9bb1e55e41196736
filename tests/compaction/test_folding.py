import pytest
import torch
from d3rlpy.models.torch import DeterministicPolicy
from d3rlpy.models.torch.encoders import PixelEncoder, VectorEncoder
from torch import nn

from offline_prune.agents import build_agent
from offline_prune.agents.topology import find_chains
from offline_prune.compaction import fold_constant_units
from offline_prune.masks.build import mask_from_kept
from tests.worlds import dataset


def test_folding_is_exact_through_cascades():
    """A unit whose only inputs are constant units becomes constant itself."""
    subject = build_agent(
        dataset("vector-continuous"), "bc", algo_params={"hidden_units": [4, 3]}
    ).agent
    kept = {n: torch.ones(w.shape, dtype=torch.bool) for n, w in subject.weights.items()}
    first, second, head = kept
    kept[first][:2] = False  # units 0 and 1 lose all inputs
    kept[second][0, 2:] = False  # unit 0 of the next layer reads only those two
    with torch.no_grad():
        for name, weight in subject.weights.items():
            weight[~kept[name]] = 0.0
    policy = subject.algo.impl.modules.imitator
    x = torch.randn(10, 5)
    before = policy(x).mu
    fold_constant_units(subject.chains, kept)
    torch.testing.assert_close(policy(x).mu, before, atol=1e-6, rtol=1e-6)
    assert not subject.weights[second][:, :2].any()
    assert not subject.weights[head][:, 0].any()
    assert mask_from_kept(subject, kept)["actor"].effective_sparsity > 0


def stack(*modules):
    """A chain of a policy whose encoder is these modules, without d3rlpy's own."""
    encoder = VectorEncoder([3], [4])
    encoder._layers = nn.Sequential(*modules)
    policy = DeterministicPolicy(encoder, modules[-1].out_features, 2)
    (chain,) = find_chains([policy], {id(p): name for name, p in policy.named_parameters()})
    return chain


def linear(*sizes, bias=True):
    return nn.Linear(*sizes, bias=bias)


@pytest.mark.parametrize(
    ("modules", "folds"),
    [
        ((linear(3, 4), nn.Sigmoid(), linear(4, 5)), True),
        ((linear(3, 4), nn.ReLU(), linear(4, 5, bias=False)), False),
        ((linear(3, 4, bias=False), nn.ReLU(), linear(4, 5, bias=False)), True),
        ((linear(3, 4, bias=False), nn.Sigmoid(), linear(4, 5, bias=False)), False),
        ((linear(3, 4, bias=False), nn.Sigmoid(), linear(4, 5)), True),
        ((linear(3, 4, bias=False), nn.BatchNorm1d(4), linear(4, 5)), False),
    ],
)
def test_constants_fold_into_biases_or_are_zeros(modules, folds):
    chain = stack(*modules)
    assert chain.constant_units_fold == folds
    if not folds:
        return
    first, second, head = (layer.module for layer in chain.layers)
    with torch.no_grad():
        first.weight[1] = 0.0
    kept = {layer.name: layer.module.weight != 0 for layer in chain.layers}
    x = torch.randn(6, 3)
    before = head(second(modules[1](first(x))))
    fold_constant_units([chain], kept)
    assert not second.weight[:, 1].any()
    torch.testing.assert_close(head(second(modules[1](first(x)))), before)


def test_padding_breaks_constants_where_they_are_read_alone():
    def chain(first, second):
        encoder = PixelEncoder((1, 8, 8), [[3, 1, 1], [2, 1, 1]], 4)
        for number, padding in ((0, first), (3, second)):  # each with ReLU and an empty dropout
            encoder._cnn_layers[number].padding = (padding, padding)
        policy = DeterministicPolicy(encoder, 4, 2)
        (found,) = find_chains([policy], {id(p): n for n, p in policy.named_parameters()})
        return found

    assert chain(1, 0).constant_units_fold
    assert not chain(0, 1).constant_units_fold
