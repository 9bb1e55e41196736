import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.agents.units import Segment, UnitGraph, UnitLayer, WeightOfUnits
from offline_prune.masks.unit_choice import choose_units
from offline_prune.methods.gates import step_probabilities

GRAPH = UnitGraph(
    (UnitLayer("a", 6), UnitLayer("b", 4)),
    (
        WeightOfUnits("a", (6, 3), 0, (Segment(None, 3),)),
        WeightOfUnits("b", (4, 6), 1, (Segment(0, 6),)),
        WeightOfUnits("c", (2, 4), None, (Segment(1, 4),)),
    ),
)
ALIVE = [torch.ones(6, dtype=torch.bool), torch.ones(4, dtype=torch.bool)]


def draw(seed):
    generator = torch.Generator().manual_seed(seed)
    theta = [torch.rand(n, generator=generator) for n in (6, 4)]
    gradient = [torch.randn(n, generator=generator) for n in (6, 4)]
    return theta, gradient


@given(st.integers(0, 10_000), st.floats(2.0, 50.0))
@settings(max_examples=60)
def test_a_step_meets_the_budget_with_the_smallest_multiplier(seed, budget):
    theta, gradient = draw(seed)
    found, multiplier = step_probabilities(GRAPH, theta, gradient, ALIVE, 0.1, budget=budget)
    for p in found:
        assert 0.0 <= float(p.min()) <= float(p.max()) <= 1.0
    assert float(GRAPH.expected_weights(found)) <= budget + 1e-3
    if multiplier > 1e-6:  # a little less cost is a little too much weight
        size = torch.cat(gradient).square().mean().sqrt()
        costs = GRAPH.expected_weights_gradient(theta)
        less = [
            (p - 0.1 * (g + 0.99 * multiplier * c) / size).clamp(0, 1)
            for p, g, c in zip(theta, gradient, costs, strict=True)
        ]
        assert float(GRAPH.expected_weights(less)) > budget - 1e-3


def test_a_step_by_hand():
    theta = [torch.full((6,), 0.5), torch.full((4,), 0.5)]
    gradient = [torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]), torch.tensor([1.0, -1, 1, -1])]
    found, multiplier = step_probabilities(GRAPH, theta, gradient, ALIVE, 0.1, budget=1e9)
    assert multiplier == 0.0
    assert found[0].tolist() == pytest.approx([0.4, 0.6] * 3)
    assert found[1].tolist() == pytest.approx([0.4, 0.6] * 2)
    # With a cost: ∂P/∂θ is 3 + 2 for a unit of a, 3 + 2 for one of b.
    found, multiplier = step_probabilities(GRAPH, theta, gradient, ALIVE, 0.1, budget=0.0, cost=0.2)
    assert multiplier == 0.2
    assert found[0].tolist() == pytest.approx([0.3, 0.5] * 3)
    # Less does where the budget is met with less.
    _, multiplier = step_probabilities(GRAPH, theta, gradient, ALIVE, 0.1, budget=1e9, cost=0.2)
    assert multiplier == 0.0


def test_the_dead_stay_dead():
    theta, gradient = draw(0)
    alive = [ALIVE[0].clone(), ALIVE[1]]
    alive[0][2] = False
    found, _ = step_probabilities(GRAPH, theta, [g - 9 for g in gradient], alive, 0.1, budget=1e9)
    assert found[0][2] == 0.0


@given(st.integers(0, 10_000), st.floats(0.0, 60.0))
@settings(max_examples=60)
def test_the_likeliest_units_that_the_budget_pays_for(seed, budget):
    theta, _ = draw(seed)
    kept = choose_units(GRAPH, theta, ALIVE, budget)
    size = float(GRAPH.expected_weights([k.float() for k in kept]))
    least = [torch.arange(len(p)) == int(p.argmax()) for p in theta]
    smallest = float(GRAPH.expected_weights([k.float() for k in least]))
    assert size <= max(budget, smallest)
    for p, k in zip(theta, kept, strict=True):
        assert k[p.argmax()]
        if k.any() and (~k).any():
            assert p[k].min() >= p[~k].max()
    # The next one would not have fitted.
    flat, chosen = torch.cat(theta), torch.cat(kept)
    if (~chosen).any() and budget >= smallest:
        following = flat.where(~chosen, -1.0).argmax()
        more = chosen.clone()
        more[following] = True
        assert float(GRAPH.expected_weights([m.float() for m in more.split([6, 4])])) > budget


def test_dead_units_are_not_chosen():
    theta, _ = draw(0)
    alive = [ALIVE[0].clone(), ALIVE[1].clone()]
    alive[0][theta[0].argmax()] = False
    kept = choose_units(GRAPH, theta, alive, 1e9)
    assert torch.equal(kept[0], alive[0])


@given(st.integers(0, 10_000), st.floats(0.0, 60.0), st.integers(2, 7))
@settings(max_examples=60)
def test_units_stay_in_bundles(seed, budget, multiple):
    theta, _ = draw(seed)
    kept = choose_units(GRAPH, theta, ALIVE, budget, multiple)
    least = [p.argsort(descending=True).argsort() < multiple for p in theta]
    smallest = float(GRAPH.expected_weights([k.float() for k in least]))
    size = float(GRAPH.expected_weights([k.float() for k in kept]))
    assert size <= max(budget, smallest)
    for p, k in zip(theta, kept, strict=True):
        assert int(k.sum()) % multiple == 0 or bool(k.all())
        assert k[p.argmax()]
        if not k.all():
            assert p[k].min() >= p[~k].max()
