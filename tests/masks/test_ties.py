"""Zeros in a random order, everything else as it was."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from offline_prune.masks.allocation import keep_highest
from offline_prune.masks.ties import zeros_at_random

scores = st.lists(st.sampled_from([0.0, -2.0, 1e-45, 0.5, 3.0]), min_size=1, max_size=30)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(scores)
def test_the_order_of_different_scores_stays(values):
    before = torch.tensor(values)
    after = zeros_at_random(before, seeded())
    for i, a in enumerate(before.tolist()):
        for j, b in enumerate(before.tolist()):
            if a < b:
                assert after[i] < after[j]
    others = before != 0
    assert torch.equal(after[others], before[others].double())


def test_zeros_are_kept_anywhere_and_the_seed_says_where():
    zeros = torch.zeros(64, 64)
    kept = [keep_highest(zeros_at_random(zeros, seeded(s)), 400) for s in (0, 0, 1)]
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])
    assert kept[0][:8].sum() < 100  # of 400 a fortieth each row; all 400 were here by index
