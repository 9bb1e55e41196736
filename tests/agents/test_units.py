import itertools

import pytest
import torch

from offline_prune.agents.units import Segment, UnitGraph, UnitLayer, WeightOfUnits, chain_units
from offline_prune.agents.units import merge_units as merge
from tests.worlds import CASES, agent


def expected_by_enumeration(graph, probabilities):
    """Σ over all masks of their probability times the weights they leave."""
    flat = torch.cat(probabilities)
    sizes = [len(p) for p in probabilities]
    total = 0.0
    for there in itertools.product((0.0, 1.0), repeat=len(flat)):
        units = torch.tensor(there, dtype=torch.float64)
        chance = torch.where(units > 0, flat, 1.0 - flat).prod()
        kept = graph.kept_weights([u > 0 for u in units.split(sizes)])
        total += float(chance) * sum(int(mask.sum()) for mask in kept.values())
    return total


@pytest.fixture
def dense_net():
    """Two layers of 2 and 3 units, 4 inputs, each layer reading all before it, a kernel."""
    return UnitGraph(
        (UnitLayer("a", 2), UnitLayer("b", 3)),
        (
            WeightOfUnits("a", (2, 4, 3, 3), 0, (Segment(None, 4),)),
            WeightOfUnits("b", (3, 6), 1, (Segment(None, 4), Segment(0, 2))),
            WeightOfUnits("c", (5, 11), None, (Segment(None, 1), Segment(0, 4), Segment(1, 6))),
        ),
    )


def test_expected_weights_against_all_masks(dense_net):
    probabilities = [torch.tensor([0.3, 0.9]).double(), torch.tensor([0.5, 0.1, 0.7]).double()]
    found = float(dense_net.expected_weights(probabilities))
    assert found == pytest.approx(expected_by_enumeration(dense_net, probabilities))


def test_the_cost_of_a_unit_is_the_exact_derivative(dense_net):
    probabilities = [
        torch.tensor([0.3, 0.9], requires_grad=True),
        torch.tensor([0.5, 0.1, 0.7], requires_grad=True),
    ]
    expected = torch.autograd.grad(dense_net.expected_weights(probabilities), probabilities)
    found = dense_net.expected_weights_gradient([p.detach() for p in probabilities])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_units_of_every_algorithm(kind, algo):
    subject = agent(kind, algo)
    graph = merge(chain_units(chain) for chain in subject.chains)
    shapes = {name: tuple(weight.shape) for name, weight in subject.weights.items()}
    assert {weight.name: weight.shape for weight in graph.weights} == shapes
    ones = [torch.ones(layer.size) for layer in graph.layers]
    assert float(graph.expected_weights(ones)) == graph.n_weights
    half = [torch.arange(layer.size) % 2 == 0 for layer in graph.layers]
    kept = graph.kept_weights(half)
    assert float(graph.expected_weights([h.float() for h in half])) == sum(
        int(mask.sum()) for mask in kept.values()
    )
    for layer, units in zip(graph.layers, half, strict=True):
        assert torch.equal(kept[layer.name].flatten(1).any(dim=1), units)
