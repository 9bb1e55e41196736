"""What is pruned becomes 0.0 whatever it was, and what is kept stays bit for bit."""

import pytest
import torch

from offline_prune.engines.zeros import zeroing

NUMBERS = [1.5, -2.0, -0.0, float("nan"), float("inf"), -1e-40]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_pruned_entries_become_zero_and_the_others_keep_their_bits(dtype):
    tensor = torch.tensor(NUMBERS * 2, dtype=dtype)
    before = tensor.clone()
    zeroing(torch.tensor([True] * 6 + [False] * 6), dtype)(tensor)
    assert tensor[:6].tolist() == [0.0] * 6
    assert not tensor[:6].signbit().any()
    whole = torch.int16 if dtype.itemsize == 2 else torch.int32
    assert torch.equal(tensor[6:].view(whole), before[6:].view(whole))
