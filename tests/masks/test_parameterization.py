"""Initial weights and steps by the weights that are kept, against problems solved by hand."""

import pytest
import torch

from offline_prune.errors import InputError, UnknownNameError
from offline_prune.masks.parameterization import STANDARD, Parameterization, make_parameterization

ROLES = {"actor": ("a", "b"), "critic[0]": ("c",), "value": ("v",)}


def kept(*counts, fan_in=16):
    """A layer whose units keep so many of their incoming weights."""
    mask = torch.zeros(len(counts), fan_in, dtype=torch.bool)
    for unit, count in enumerate(counts):
        mask[unit, :count] = True
    return mask


MASKS = {"a": kept(4, 12, 0), "b": kept(16, 16), "c": kept(1, 1), "v": kept(4, 4)}


def test_a_layer_is_scaled_by_the_mean_fan_in_of_its_live_units():
    """4 and 12 of 16 weights: 8 on average, so ½ of the fan-in: weights × √2, steps × 2."""
    sparse = Parameterization(cap=100.0)
    factors = sparse.step_factors(MASKS, ROLES)
    torch.testing.assert_close(factors["a"], torch.full((3, 1), 2.0))
    torch.testing.assert_close(sparse.initial_factors(MASKS)["a"], torch.full((3, 1), 2.0**0.5))


def test_a_unit_is_scaled_by_its_own_fan_in():
    by_unit = Parameterization(by="unit", cap=100.0)
    expected = torch.tensor([[4.0], [4 / 3], [16.0]])  # a unit without any counts as one
    torch.testing.assert_close(by_unit.step_factors(MASKS, ROLES)["a"], expected)
    torch.testing.assert_close(by_unit.initial_factors(MASKS)["a"], expected.sqrt())


def test_exponents_cap_and_critics():
    halved = Parameterization(exponent=0.5, critic_exponent=1.0, cap=3.0)
    factors = halved.step_factors(MASKS, ROLES)
    torch.testing.assert_close(factors["a"], torch.full((3, 1), 2.0**0.5))
    torch.testing.assert_close(factors["c"], torch.full((2, 1), 3.0))  # 16, capped
    torch.testing.assert_close(factors["v"], torch.full((2, 1), 3.0))
    assert {"c", "v"}.isdisjoint(Parameterization().step_factors(MASKS, ROLES))


def test_a_layer_that_loses_nothing_is_untouched():
    sparse = Parameterization(critic_exponent=1.0)
    assert "b" not in sparse.step_factors(MASKS, ROLES)
    assert "b" not in sparse.initial_factors(MASKS)


def test_standard_touches_nothing():
    assert STANDARD.step_factors(MASKS, ROLES) == {}
    assert STANDARD.initial_factors(MASKS) == {}


def test_convolutions_have_a_fan_in_of_channels_times_kernel():
    mask = torch.zeros(2, 3, 2, 2, dtype=torch.bool)
    mask[:, 0] = True
    factor = Parameterization(by="unit").step_factors({"w": mask}, {"actor": ("w",)})["w"]
    torch.testing.assert_close(factor, torch.full((2, 1, 1, 1), 3.0))


def test_reading():
    assert make_parameterization("standard") == STANDARD
    assert make_parameterization("sparse") == Parameterization()
    read = make_parameterization("sparse(exponent=.5, critic_exponent=1, cap=10, by='unit')")
    assert read == Parameterization(0.5, 1.0, 10.0, "unit")
    assert make_parameterization("sparse(by=unit)") == Parameterization(by="unit")


def test_a_negative_exponent_is_refused():
    with pytest.raises(InputError, match="at least 0"):
        Parameterization(exponent=-1.0)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("spares", UnknownNameError, "sparse"),
        ("sparse(power=1)", InputError, "power"),
        ("sparse(exponent=-1)", InputError, "not a parameterization"),
        ("sparse(cap=.5)", InputError, "at least 1"),
        ("sparse(cap='ten')", InputError, "finite number"),
        ("sparse(by=layers)", UnknownNameError, "layer"),
        ("sparse(by=unit(3))", UnknownNameError, r"unit\(3\)"),
        ("sparse(exponent(2))", InputError, "finite number"),
        ("standard(cap=2)", InputError, "standard"),
        ("sparse(", InputError, "parameterization"),
        (1.0, InputError, "float"),
    ],
)
def test_refusals(text, error, said):
    with pytest.raises(error, match=said):
        make_parameterization(text)
