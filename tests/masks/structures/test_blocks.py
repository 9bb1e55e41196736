"""Blocks stay or leave whole, but for the last."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.errors import MaskError
from offline_prune.masks.build import build_mask
from offline_prune.masks.checks import check_request
from tests.masks.structures.test_units import FIRST, LAST, small
from tests.masks.test_refill import AGENTS, random_scores


def blocks_of(mask, rows, columns):
    return [part for strip in mask.split(rows) for part in strip.split(columns, dim=1)]


def test_the_best_mean_is_kept_and_the_last_block_in_part():
    first = torch.tensor([[9.0, 0, 3, 3, 1], [0, 0, 3, 4, 1], [7, 8, 1, 1, 1]])
    scores = {"actor": {FIRST: first, LAST: torch.zeros(2, 3)}}
    asked = {"actor": 1 - 7 / 21}
    mask = build_mask(small(), scores, asked, structure="block(2, 2)")
    # Means: 7.5 (two weights at the edge), 3.25, 2.25, of which the 9 is kept.
    assert mask.nominal[FIRST].int().tolist() == [[1, 0, 1, 1, 0], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0]]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    case=st.sampled_from(sorted(AGENTS)),
    rows=st.integers(1, 9),
    columns=st.integers(1, 5),
    sparsity=st.sampled_from([0.5, 0.9, 0.97]),
    seed=st.integers(0, 2**31),
)
def test_one_block_of_a_network_is_cut_at_most(case, rows, columns, sparsity, seed):
    subject = AGENTS[case]
    scores, asked = random_scores(subject, seed), subject.per_network(sparsity)
    mask = build_mask(subject, scores, asked, structure=f"block({rows}, {columns})")
    for network in subject.networks:
        masks = [mask.nominal[name] for name in network.weights]
        blocks = [block for kept in masks for block in blocks_of(kept, rows, columns)]
        assert sum(0 < int(block.sum()) < block.numel() for block in blocks) <= 1


def test_equal_blocks_go_by_their_place():
    scores = {"actor": {FIRST: torch.zeros(3, 5), LAST: torch.zeros(2, 3)}}
    mask = build_mask(small(), scores, {"actor": 1 - 6 / 21}, structure="block(3, 2)")
    assert mask.nominal[FIRST].int().tolist() == [[1, 1, 0, 0, 0]] * 3


def test_a_block_larger_than_every_layer_is_refused():
    with pytest.raises(MaskError, match="No layer of actor holds a block of 4 × 4"):
        check_request(small(), 0.5, None, structure="block(4, 4)")
    check_request(small(), 0.5, None, structure="block(3, 5)")
