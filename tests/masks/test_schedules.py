import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_prune.errors import InputError
from offline_prune.masks.schedules import (
    check_window,
    cosine_fraction,
    cubic_sparsity,
    update_interval,
)


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 0), (20, 0), (35, 0.549), (50, 0.831), (65, 0.935), (80, 0.95)]
)
def test_the_cubic_at_the_papers_points(percent, expected):
    found = cubic_sparsity(percent * 1000, 0.95, 20_000, 80_000)
    assert found == pytest.approx(expected, abs=5e-4)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1, width=32))
def test_the_cubic_never_falls_and_never_passes_its_end(a, b, step, final):
    begin, end = sorted((a, b))
    now, later = (cubic_sparsity(t, final, begin, end) for t in (step, step + 1))
    assert 0.0 <= now <= later <= final


def test_a_window_of_no_length_is_a_step():
    assert [cubic_sparsity(t, 0.9, 5, 5) for t in (4, 5, 6)] == [0.0, 0.9, 0.9]


def test_the_cosine_at_its_quarters():
    found = [cosine_fraction(t, 0.3, 100) for t in (0, 25, 50, 75, 100, 150)]
    eighth = 0.15 * math.cos(math.pi / 4)
    expected = [0.3, 0.15 + eighth, 0.15, 0.15 - eighth, 0.0, 0.0]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("window", [(-0.1, 0.5), (0.6, 0.5), (0.2, 1.1), (float("nan"), 0.5)])
def test_a_window_outside_the_run_is_refused(window):
    with pytest.raises(InputError, match="begin ≤ end"):
        check_window(*window)


def test_intervals():
    assert update_interval(60_000, None, 1000) == 1000
    assert update_interval(6_000, None, 1000) == 300
    assert update_interval(3, None, 1000) == 1
    assert update_interval(3, 7, 1000) == 7
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="whole number"):
            update_interval(100, wrong, 1000)
