import math

import pytest
import torch

from offline_prune.diagnostics import q_norm, q_variance


def test_by_hand():
    values = torch.tensor([1.0, -7.0])  # mean −3, deviations ±4
    assert q_norm(values) == 5.0
    assert q_variance(values) == 16.0
    assert q_variance(torch.tensor([2.0])) == 0.0


def test_the_square_of_the_norm_is_variance_and_squared_mean():
    values = torch.randn(20, generator=torch.Generator().manual_seed(0)) + 3
    squared = q_variance(values) + float(values.double().mean()) ** 2
    assert q_norm(values) ** 2 == pytest.approx(squared)


def test_what_is_not_finite_has_none():
    assert math.isnan(q_norm(torch.tensor([1.0, math.nan])))
    assert math.isnan(q_variance(torch.tensor([1.0, math.nan])))
