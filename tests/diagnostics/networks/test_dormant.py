import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.diagnostics import dormant_fraction
from offline_prune.errors import InputError

seeds = st.integers(0, 2**32 - 1)


def test_by_hand():
    layer = torch.tensor([[1.0, 0.0, 0.001], [1.0, 0.0, -0.001]])  # scores 2.997, 0, .003
    assert dormant_fraction([layer]) == pytest.approx(2 / 3)
    assert dormant_fraction([layer], tau=0.001) == pytest.approx(1 / 3)
    assert dormant_fraction([layer], tau=3) == 1.0


def test_the_threshold_itself_is_dormant():
    layer = torch.tensor([[1.0, 3.0]])  # scores 1/2 and 3/2
    assert dormant_fraction([layer], tau=0.5) == 0.5
    assert dormant_fraction([layer], tau=0.499) == 0.0


def test_scores_are_of_a_layer_and_the_fraction_of_the_network():
    quiet = torch.tensor([[1e-6, 1e-6]])  # alike within their layer: nobody is dormant
    loud = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.0, 1.0]])
    assert dormant_fraction([quiet, loud]) == pytest.approx(3 / 8)


def test_channels_are_units_and_a_unit_sleeps_over_all_inputs():
    layer = torch.zeros(2, 3, 4, 4)
    layer[1, 0, 2, 3] = -5.0  # awake once, in one place
    assert dormant_fraction([layer]) == pytest.approx(2 / 3)


def test_a_silent_layer_is_dormant():
    assert dormant_fraction([torch.zeros(5, 3), torch.ones(5, 1)]) == pytest.approx(3 / 4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_no_fraction(bad):
    assert math.isnan(dormant_fraction([torch.ones(2, 2), torch.tensor([[1.0, bad]])]))


def test_refusals():
    with pytest.raises(InputError, match="no hidden layer"):
        dormant_fraction([])
    with pytest.raises(InputError, match="tau"):
        dormant_fraction([torch.ones(1, 1)], tau=-0.1)


@settings(deadline=None)
@given(seeds, st.floats(1e-3, 1e3), st.floats(0, 1))
def test_scale_sign_and_order_do_not_matter(seed, scale, tau):
    generator = torch.Generator().manual_seed(seed)
    layer = torch.rand(6, 9, generator=generator, dtype=torch.float64) ** 8
    fraction = dormant_fraction([layer], tau)
    rows = torch.randperm(6, generator=generator)
    units = torch.randperm(9, generator=generator)
    assert dormant_fraction([-scale * layer[rows][:, units]], tau) == fraction
    assert dormant_fraction([layer], tau + 0.1) >= fraction
    assert fraction < 1.0  # the unit with the highest score is at least 1
