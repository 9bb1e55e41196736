import pytest
import torch

from offline_prune.diagnostics import measured_sparsity, parameter_norm
from offline_prune.errors import InputError


def test_norm_by_hand():
    assert parameter_norm([torch.tensor([[1.0, -2.0]]), torch.tensor([2.0])]) == 3.0
    assert parameter_norm([]) == 0.0
    large = torch.full((4,), 1e30)  # its squares do not fit into single precision
    assert parameter_norm([large]) == pytest.approx(2e30)


def test_sparsity_counts_zeros():
    weights = [torch.tensor([[0.0, 1e-30], [-0.0, 2.0]]), torch.zeros(1, 6)]
    assert measured_sparsity(weights) == 0.8
    assert measured_sparsity([torch.ones(3)]) == 0.0
    with pytest.raises(InputError, match="no weight"):
        measured_sparsity([])
