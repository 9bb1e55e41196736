import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.errors import SparsityError, UnknownNameError
from offline_prune.masks.allocation import (
    ALLOCATIONS,
    ByDensity,
    allocate,
    check_sparsity,
    erk_densities,
    keep_highest,
    kept_count,
    make_allocation,
)

shapes = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        st.tuples(*[st.integers(1, 4)] * 4),
    ),
    min_size=1,
    max_size=5,
)
sparsities = st.one_of(
    st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.98, 0.99, 0.999]),
    st.floats(0.0, 0.9999),
)


def named(sizes):
    return {f"layer{i}": tuple(shape) for i, shape in enumerate(sizes)}


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@settings(max_examples=60, deadline=None)
@given(sizes=shapes, sparsity=sparsities, seed=st.integers(0, 2**31), ties=st.booleans())
def test_counts_are_exact(allocation, sizes, sparsity, seed, ties):
    generator = torch.Generator().manual_seed(seed)
    scores = {n: torch.randn(s, generator=generator) for n, s in named(sizes).items()}
    if ties:
        scores = {name: score.round() for name, score in scores.items()}
    masks = allocate(scores, sparsity, allocation)
    n = sum(score.numel() for score in scores.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == kept_count(n, sparsity)
    assert {name: mask.shape for name, mask in masks.items()} == {
        name: score.shape for name, score in scores.items()
    }
    again = allocate(scores, sparsity, allocation)
    assert all(torch.equal(mask, again[name]) for name, mask in masks.items())


@settings(max_examples=60, deadline=None)
@given(sizes=shapes, sparsity=sparsities, seed=st.integers(0, 2**31))
def test_global_keeps_the_highest(sizes, sparsity, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = {n: torch.randn(s, generator=generator) for n, s in named(sizes).items()}
    masks = allocate(scores, sparsity)
    kept = torch.cat([scores[name][mask] for name, mask in masks.items()])
    gone = torch.cat([scores[name][~mask] for name, mask in masks.items()])
    assert gone.numel() == 0 or kept.min() >= gone.max()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=40),
    st.integers(0, 45),
)
def test_ties_go_to_the_lower_flat_index(values, count):
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    mask = keep_highest(torch.tensor(values, dtype=torch.float32), count)
    assert mask.nonzero().squeeze(1).tolist() == sorted(expected)


def test_sparsity_zero_keeps_all_even_with_zero_scores():
    assert allocate({"w": torch.zeros(3, 3)}, 0.0)["w"].all()


@pytest.mark.parametrize(
    ("n", "sparsity", "kept"),
    [(1000, 0.95, 50), (71424, 0.95, 3571), (10, 0.999, 1), (7, 0.0, 7), (3, 0.5, 2)],
)
def test_kept_count(n, sparsity, kept):
    assert kept_count(n, sparsity) == kept


# (sparsity of each layer) for networks of two hidden layers of 256.
ERK = [
    ((17, 256, 256, 6), 0.50, (0.0, 0.5449, 0.0)),
    ((17, 256, 256, 6), 0.90, (0.5519, 0.9442, 0.0)),
    ((17, 256, 256, 6), 0.95, (0.7860, 0.9733, 0.4181)),
    ((17, 256, 256, 6), 0.99, (0.9571, 0.9947, 0.8834)),
    ((23, 256, 256, 1), 0.90, (0.5859, 0.9317, 0.0)),
    ((23, 256, 256, 1), 0.95, (0.8006, 0.9671, 0.0)),
    ((23, 256, 256, 1), 0.99, (0.9675, 0.9946, 0.3122)),
]


@pytest.mark.parametrize(("widths", "sparsity", "expected"), ERK)
def test_erk_fixtures(widths, sparsity, expected):
    sizes = {f"layer{i}": (widths[i + 1], widths[i]) for i in range(3)}
    densities = erk_densities(sizes, sparsity)
    found = [1 - density for density in densities.values()]
    assert found == pytest.approx(expected, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(sizes=shapes, sparsity=sparsities)
def test_erk_densities_add_up(sizes, sparsity):
    sizes = named(sizes)
    densities = erk_densities(sizes, sparsity)
    total = sum(math.prod(shape) for shape in sizes.values())
    kept = sum(density * math.prod(sizes[name]) for name, density in densities.items())
    # The budget rounds up in every layer.
    assert total * (1 - sparsity) - 1e-6 <= kept
    assert kept <= total * (1 - sparsity) + len(sizes)
    assert all(0 < density <= 1 for density in densities.values())


def test_uniform_keeps_the_same_density_everywhere():
    scores = {"a": torch.rand(20, 50), "b": torch.rand(40, 10)}
    masks = allocate(scores, 0.9, "uniform")
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "a": 100,
        "b": 40,
    }


@pytest.mark.parametrize("allocation", [name for name in ALLOCATIONS if name != "global"])
def test_every_layer_keeps_something_while_the_budget_allows(allocation):
    scores = {"big": torch.rand(100, 100), "tiny": torch.rand(1, 3)}
    masks = allocate(scores, 0.999, allocation)
    assert all(mask.any() for mask in masks.values())


@pytest.mark.parametrize(
    "sparsity", [1.0, -0.1, 1.5, 95, float("nan"), float("inf"), "half", None, True]
)
def test_wrong_sparsities_are_refused(sparsity):
    with pytest.raises(SparsityError, match=r"\[0, 1\)"):
        check_sparsity(sparsity)


def test_a_percentage_is_recognised():
    with pytest.raises(SparsityError, match="percentage"):
        check_sparsity(95)


def test_unknown_allocation_names_the_nearest():
    with pytest.raises(UnknownNameError, match="'global'"):
        allocate({"w": torch.ones(2)}, 0.5, "globl")


def test_numpy_numbers_are_sparsities():
    assert check_sparsity(np.float64(0.5)) == 0.5


def test_given_densities_are_kept():
    scores = {"a": torch.rand(10, 10), "b": torch.rand(20, 5)}
    mask = allocate(scores, 0.7, {"a": 0.5, "b": 0.1})
    assert {name: int(kept.sum()) for name, kept in mask.items()} == {"a": 50, "b": 10}


def test_given_densities_must_amount_to_the_sparsity():
    scores = {"a": torch.rand(10, 10), "b": torch.rand(20, 5)}
    with pytest.raises(SparsityError, match="amount to sparsity"):
        allocate(scores, 0.5, {"a": 0.5, "b": 0.1})


@pytest.mark.parametrize("densities", [{"a": 0.5}, {"a": 0.5, "b": 1.5}])
def test_given_densities_are_complete_and_fractions(densities):
    with pytest.raises(SparsityError, match="every layer"):
        allocate({"a": torch.rand(4, 4), "b": torch.rand(4, 4)}, 0.5, densities)


def test_which_allocations_are_layer_densities_and_what_they_are():
    shapes = {"a": (256, 17), "b": (256, 256), "c": (6, 256)}
    erk, uniform = make_allocation(" erk "), make_allocation("uniform")
    assert isinstance(erk, ByDensity)
    assert isinstance(uniform, ByDensity)
    found = erk.densities(shapes, 0.9)
    assert [1 - found[n] for n in "abc"] == pytest.approx([0.5519, 0.9442, 0.0], abs=1e-4)
    assert erk.densities({"d": (4, 4)}, 0.0) == {"d": 1.0}
    assert uniform.densities(shapes, 0.9)["b"] == pytest.approx(0.1)
    given = make_allocation({"a": 0.5, "other": 0.1})
    assert isinstance(given, ByDensity)
    assert given.densities({"a": (4, 4)}, 0.5) == {"a": 0.5}
    for allocation in ("global", "floor", "constant_fan_in"):
        assert not isinstance(make_allocation(allocation), ByDensity)
