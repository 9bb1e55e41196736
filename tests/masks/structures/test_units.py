"""Weights of the best units come first."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.agents import build_agent
from offline_prune.agents.unit_groups import unit_groups
from offline_prune.errors import AlgorithmError
from offline_prune.masks.allocation import kept_count
from offline_prune.masks.build import build_mask
from offline_prune.masks.checks import check_request
from tests.masks.test_refill import AGENTS, random_scores
from tests.worlds import agent, dataset

FIRST, LAST = "imitator._encoder._layers.0.weight", "imitator._fc.weight"


def imitator(*hidden_units):
    """BC of 5 inputs and 2 outputs."""
    params = {"hidden_units": list(hidden_units)}
    return build_agent(dataset("vector-continuous"), "bc", algo_params=params).agent


def small():
    return imitator(3)


def test_a_weak_units_best_weight_makes_room_for_a_good_units_next():
    subject = small()
    first = torch.tensor([[5.0, 5.0, 5.0, 5.0, 1.0], [6.0, 0, 0, 0, 0], [4.0, 4.0, 4.0, 2.0, 3.0]])
    scores = {"actor": {FIRST: first, LAST: torch.tensor([[9.0, 1.0, 7.0], [8.0, 1.0, 7.0]])}}
    asked = {"actor": 1 - 10 / 21}
    plain = build_mask(subject, scores, asked)
    assert plain.nominal[FIRST].any(dim=1).tolist() == [True, True, True]
    # A unit owns 7 weights: 10 / 0.7 pays for two of the three.
    mask = build_mask(subject, scores, asked, structure="units(density=0.7)")
    assert mask.nominal[FIRST].int().tolist() == [[1, 1, 1, 1, 0], [0] * 5, [1, 1, 0, 0, 0]]
    assert mask.nominal[LAST].int().tolist() == [[1, 0, 1], [1, 0, 1]]


def test_what_is_left_goes_to_the_next_best_unit():
    subject = small()
    first = torch.tensor([[5.0] * 5, [2.0] * 5, [3.0] * 5])
    scores = {"actor": {FIRST: first, LAST: torch.zeros(2, 3)}}
    # Density 1 pays for one unit of 7 weights; of the tenth on they are the third's.
    mask = build_mask(subject, scores, {"actor": 1 - 10 / 21}, structure="units(density=1)")
    assert mask.nominal[FIRST].sum(dim=1).tolist() == [5, 0, 3]
    assert mask.nominal[LAST].sum(dim=0).tolist() == [2, 0, 0]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    case=st.sampled_from(sorted(AGENTS)),
    density=st.sampled_from([0.2, 0.5, 0.9]),
    sparsity=st.sampled_from([0.8, 0.95, 0.99]),
    seed=st.integers(0, 2**31),
)
def test_the_grid_is_as_small_as_the_density_says(case, density, sparsity, seed):
    subject = AGENTS[case]
    scores, asked = random_scores(subject, seed), subject.per_network(sparsity)
    mask = build_mask(subject, scores, asked, structure=f"units(density={density})")
    for group in unit_groups(subject):
        names = [weight.name for weight in group.graph.weights]
        kept = sum(kept_count(net.n_weights, sparsity) for net in group.networks(subject))
        owned = group.graph.owned_sums({n: mask.nominal[n].double() for n in names})
        live = [total > 0 for total in owned]
        grid = group.graph.kept_weights(live)
        size = sum(int(part.sum()) for part in grid.values())
        # A unit that is chosen for the leftovers, or as the best of its layer, may add its own.
        ones = [torch.ones(layer.size, dtype=torch.double) for layer in group.graph.layers]
        most = max(float(c.max()) for c in group.graph.expected_weights_gradient(ones))
        assert size <= kept / density + len(ones) * most


def test_less_is_between_live_units_at_a_higher_density():
    subject = imitator(64, 64)
    scores, live = random_scores(subject, 2), []
    for density in (0.4, 0.7, 1.0):
        structure = f"units(density={density})"
        mask = build_mask(subject, scores, {"actor": 0.7}, structure=structure)
        first, second, _ = (units for units, _ in mask.layer_units.values())
        live.append(5 * first + first * second + 2 * second)
    assert live[0] > live[1] > live[2]


def test_transformers_have_no_units_that_leave():
    with pytest.raises(AlgorithmError, match="cannot leave one by one"):
        check_request(
            agent("vector-continuous", "decision_transformer"), 0.5, None, structure="units"
        )
