"""Widths of the shrunken network, on examples solved by hand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_prune.errors import InputError
from offline_prune.pops.shrink import redundancy, shrunken_widths


def test_redundancy():
    assert redundancy(25, 100) == 0.75
    assert redundancy(100, 100) == 0.0


def test_the_only_hidden_layer_is_the_mean_of_both_estimates():
    # forward 40/4 = 10, backward 36/2 = 18.
    assert shrunken_widths([(50, 4), (2, 50)], [40, 36]) == (14,)


def test_two_hidden_layers_are_one_estimate_each():
    # forward 40/4 = 10; backward 36/2 = 18.
    assert shrunken_widths([(50, 4), (60, 50), (2, 60)], [40, 600, 36]) == (10, 18)


def test_three_hidden_layers():
    # forward 10, 200/10 = 20; backward 18, 540/18 = 30: middle 25.
    shapes = [(50, 4), (60, 50), (70, 60), (2, 70)]
    assert shrunken_widths(shapes, [40, 200, 540, 36]) == (10, 25, 18)


def test_convolutions_count_the_area_of_kernels_and_of_what_is_flattened():
    # Image of 3 × 12 × 12. Convolutions of 4 × 4 and 3 × 3, then 9 · 20 flattened columns.
    shapes = [(16, 3, 4, 4), (20, 16, 3, 3), (64, 180), (5, 64)]
    # forward 480/(16·3) = 10, 720/(9·10) = 8; backward 150/5 = 30, 9·30·12/(9·30) = 12.
    assert shrunken_widths(shapes, [480, 720, 3240, 150]) == (10, 10, 30)


def test_estimates_stay_between_the_minimum_and_the_old_width():
    # forward 4/4 = 1 → 4, not 600/1 but 600/4 = 150 → 60; backward 2/2 = 1 → 4, 280/4 = 70 → 60.
    shapes = [(50, 4), (60, 50), (70, 60), (2, 70)]
    assert shrunken_widths(shapes, [4, 600, 280, 2]) == (4, 60, 4)
    assert shrunken_widths(shapes, [4, 600, 280, 2], minimum=1) == (1, 60, 1)


def test_layers_below_the_minimum_stay():
    assert shrunken_widths([(3, 4), (2, 3)], [1, 1]) == (3,)


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="does not read the 50 units"):
        shrunken_widths([(50, 4), (2, 49)], [1, 1])
    with pytest.raises(InputError, match="at least two layers"):
        shrunken_widths([(2, 4)], [1])


@st.composite
def networks(draw):
    units = draw(st.lists(st.integers(1, 40), min_size=3, max_size=6))
    shapes = [(n_out, n_in) for n_in, n_out in itertools.pairwise(units)]
    kept = [draw(st.integers(0, n_out * n_in)) for n_out, n_in in shapes]
    return shapes, kept


@given(networks(), st.integers(1, 8))
def test_widths_never_grow_and_stay_above_the_minimum(network, minimum):
    shapes, kept = network
    found = shrunken_widths(shapes, kept, minimum)
    old = [n_out for n_out, _ in shapes[:-1]]
    assert all(min(minimum, n) <= width <= n for width, n in zip(found, old, strict=True))


@pytest.mark.slow
@given(networks())
def test_nothing_shrinks_where_everything_is_kept(network):
    shapes, _ = network
    kept = [n_out * n_in for n_out, n_in in shapes]
    assert shrunken_widths(shapes, kept, 1) == tuple(n_out for n_out, _ in shapes[:-1])


@given(networks(), st.integers(1, 4))
def test_keeping_more_of_every_layer_narrows_none(network, factor):
    shapes, kept = network
    less = shrunken_widths(shapes, kept, 2)
    more = shrunken_widths(shapes, [factor * count for count in kept], 2)
    assert all(a <= b for a, b in zip(less, more, strict=True))
