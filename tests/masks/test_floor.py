"""Layers keep their floor; the rest is chosen by one threshold."""

from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from offline_prune.errors import InputError
from offline_prune.masks.allocation import allocate, make_allocation
from offline_prune.masks.counts import kept_count
from offline_prune.masks.floor import DEFAULT_FAN_IN, Floor
from tests.masks.test_allocation import named, shapes, sparsities

floors = st.one_of(
    st.builds(Floor, fan_in=st.one_of(st.integers(1, 9), st.floats(0.1, 9.0))),
    st.builds(Floor, density=st.floats(0.01, 1.0)),
)


def random_scores(sizes, seed, ties=False):
    generator = torch.Generator().manual_seed(seed)
    scores = {n: torch.randn(s, generator=generator) for n, s in named(sizes).items()}
    return {n: s.round() for n, s in scores.items()} if ties else scores


def counts(masks):
    return {name: int(mask.sum()) for name, mask in masks.items()}


def test_the_floor_is_filled_first_and_the_rest_by_score():
    scores = {
        "a": torch.tensor([[9.0, 8.0, 7.0], [6.0, 5.0, 4.0]]),
        "b": torch.tensor([[0.0, 2.0, 3.0, 1.0]]),
    }
    assert counts(allocate(scores, 0.5, "global")) == {"a": 5, "b": 0}
    masks = allocate(scores, 0.5, "floor(fan_in=1)")  # 2 of a, 1 of b, then the best two
    assert masks["a"].tolist() == [[True, True, True], [True, False, False]]
    assert masks["b"].tolist() == [[False, False, True, False]]
    masks = allocate(scores, 0.5, "floor(density=0.3)")  # 2 of both, then the best one
    assert masks["a"].tolist() == [[True, True, True], [False, False, False]]
    assert masks["b"].tolist() == [[False, True, True, False]]


def test_floors_are_means_over_units_and_at_most_the_layer():
    sizes = {"a": (256, 17), "kernels": (8, 2, 3, 3), "narrow": (10, 2), "head": (1, 256)}
    wanted = Floor(fan_in=4).counts(sizes, 10_000)
    assert wanted == {"a": 1024, "kernels": 32, "narrow": 20, "head": 4}
    assert Floor(fan_in=2.5).counts({"a": (3, 9)}, 27) == {"a": 8}
    # 7 % of 100 are 7, though 0.07 * 100 in binary is more.
    assert Floor(density=0.07).counts({"a": (10, 10), "b": (3, 7)}, 30) == {"a": 7, "b": 2}


def test_the_default_is_a_fan_in():
    assert Floor().counts({"a": (7, 99)}, 693) == {"a": round(7 * DEFAULT_FAN_IN)}
    assert make_allocation("floor") == Floor()
    assert make_allocation("floor(4)") == make_allocation(" floor(fan_in = 4) ") == Floor(4.0)


def test_floors_beyond_the_budget_are_scaled_down_alike():
    sizes = {"a": (10, 10), "b": (5, 10), "c": (1, 10)}
    # 40, 20 and 4 are asked for: 1 each, and of what is above 30/61, rounded down.
    assert Floor(fan_in=4).counts(sizes, 33) == {"a": 20, "b": 10, "c": 2}
    assert Floor(fan_in=4).counts(sizes, 64) == {"a": 40, "b": 20, "c": 4}
    assert Floor(fan_in=4).counts(sizes, 3) == {"a": 1, "b": 1, "c": 1}
    assert Floor(fan_in=4).counts(sizes, 2) == {"a": 0, "b": 0, "c": 0}


@settings(max_examples=150, deadline=None)
@given(floors, shapes, sparsities, st.integers(0, 2**31), st.booleans())
def test_floors_hold_and_counts_are_exact(floor, sizes, sparsity, seed, ties):
    scores = random_scores(sizes, seed, ties)
    masks = floor(scores, sparsity)
    total = kept_count(sum(s.numel() for s in scores.values()), sparsity)
    found, least = counts(masks), floor.counts(named(sizes), total)
    assert sum(found.values()) == total
    assert all(found[name] >= least[name] for name in scores)
    if total >= len(sizes):
        assert min(found.values()) >= 1
    asked = floor.counts(named(sizes), 10**9)
    assert least == asked or sum(asked.values()) > total
    # What is kept of a layer is its best; what is above the floors is the best of all layers.
    inside = [scores[n][masks[n]].min() for n in scores if found[n] > least[n]]
    outside = [scores[n][~masks[n]].max() for n in scores if found[n] < masks[n].numel()]
    assert not inside or not outside or min(inside) >= max(outside)
    for name, mask in masks.items():
        assert not mask.any() or mask.all() or scores[name][mask].min() >= scores[name][~mask].max()


@settings(max_examples=80, deadline=None)
@given(floors, shapes, sparsities, st.integers(0, 2**31), st.booleans())
def test_floors_that_nothing_is_below_change_nothing(floor, sizes, sparsity, seed, ties):
    scores = random_scores(sizes, seed, ties)
    plain = allocate(scores, sparsity, "global")
    least = floor.counts(named(sizes), sum(counts(plain).values()))
    assume(all(kept >= least[name] for name, kept in counts(plain).items()))
    masks = floor(scores, sparsity)
    assert all(torch.equal(masks[name], plain[name]) for name in plain)


def test_ties_go_to_the_lower_flat_index():
    masks = allocate({"a": torch.ones(2, 3), "b": torch.ones(2, 3)}, 0.5, "floor(fan_in=1)")
    assert masks["a"].tolist() == [[True, True, True], [True, False, False]]
    assert masks["b"].tolist() == [[True, True, False], [False, False, False]]


@settings(max_examples=80, deadline=None)
@given(floors, shapes, st.integers(0, 2**31), st.lists(sparsities, min_size=2, max_size=5))
def test_what_may_not_return_does_not(floor, sizes, seed, asked):
    """Also where floors are scaled: iterative methods prune in rounds."""
    scores = random_scores(sizes, seed)
    masks = [{name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}]
    for number, sparsity in enumerate(sorted(asked)):
        fresh = random_scores(sizes, number)
        left = {n: torch.where(masks[-1][n], s.abs(), -1.0) for n, s in fresh.items()}
        masks.append(floor(left, sparsity))
    for before, after in pairwise(masks):
        assert not any((after[name] & ~before[name]).any() for name in scores)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("floor(fan_in=0)", "fan_in of a floor is above 0, not 0"),
        ("floor(0)", "fan_in of a floor is above 0"),
        ("floor(fan_in=True)", "fan_in of a floor is a finite number, not True"),
        ("floor(fan_in=1e999)", "fan_in of a floor is a finite number"),
        ("floor(fan_in=erk)", "fan_in of a floor is a finite number, not 'erk'"),
        ("floor(density=0)", "density of a floor is above 0 and at most 1, not 0"),
        ("floor(density=10)", "density of a floor is above 0 and at most 1, not 10"),
        ("floor(fan_in=4, density=0.1)", "not both"),
        ("floor(fanin=4)", "fanin"),
        ("floor(1, 2, 3)", "floor does not take these arguments"),
        ("floor(fan_in=4", "not a name of an allocation"),
        ("4", "not a name of an allocation"),
        ("erk(fan_in=4)", "erk takes no arguments"),
        ("global(4)", "global takes no arguments"),
    ],
)
def test_wrong_numbers_and_names_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        make_allocation(text)
