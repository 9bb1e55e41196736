import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.diagnostics import srank
from offline_prune.errors import InputError


def with_singular_values(values, rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = len(values)
    left = torch.linalg.qr(torch.randn(rows, n, generator=generator, dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    return left @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ right


@pytest.mark.parametrize(
    ("values", "delta", "expected"),
    [
        ([99.5, 0.5], 0.01, 1),
        ([98.5, 1.0, 0.5], 0.01, 2),
        ([0.5, 98.5, 1.0], 0.01, 2),
        ([98.5, 1.0, 0.5], 0.02, 1),
        ([98.5, 1.0, 0.5], 0.001, 3),
        ([1.0] * 10, 0.01, 10),
        ([1.0] * 10, 0.25, 8),
        ([3.0, 0.0, 0.0], 0.01, 1),
    ],
)
def test_known_singular_values(values, delta, expected):
    assert srank(with_singular_values(values, rows=12), delta) == expected


def test_the_default_leaves_out_a_hundredth():
    assert srank(torch.eye(200)) == 198
    assert srank(torch.eye(50)) == 50


def test_it_is_computed_in_double_precision():
    assert srank(torch.diag(torch.tensor([1.0, 1e-9])), delta=1e-12) == 2


def test_zeros_have_rank_zero_and_what_is_not_finite_none():
    assert srank(torch.zeros(4, 3)) == 0
    assert math.isnan(srank(torch.tensor([[1.0, math.nan]])))
    assert math.isnan(srank(torch.tensor([[1.0, math.inf]])))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 3)])
def test_only_matrices(shape):
    with pytest.raises(InputError, match="shape"):
        srank(torch.ones(shape))


@pytest.mark.parametrize("delta", [-0.1, 1.0, math.nan])
def test_delta_is_a_share(delta):
    with pytest.raises(InputError, match="delta"):
        srank(torch.ones(2, 2), delta)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.001, 0.5))
def test_between_one_and_the_rank_whatever_the_basis(seed, rank, delta):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(9, rank, generator=generator).double() for _ in range(2))
    features = a @ b.T
    found = srank(features, delta)
    assert 1 <= found <= rank
    assert srank(features, delta / 2) >= found
    rotation = torch.linalg.qr(torch.randn(9, 9, generator=generator).double())[0]
    assert srank(-7.0 * features @ rotation, delta) == found
    assert srank(features[torch.randperm(9, generator=generator)].float(), delta) == found
