"""At most n of m inputs that follow one another."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from offline_prune.errors import InputError, MaskError, SparsityError
from offline_prune.masks.build import build_mask
from offline_prune.masks.checks import check_request
from offline_prune.masks.structures.n_of_m import NOfM
from tests.masks.structures.test_units import FIRST, LAST, small
from tests.masks.test_refill import AGENTS, random_scores


def test_the_best_of_every_group_come_first():
    first = torch.tensor([[9.0, 8, 7, 1, 2], [0, 0, 0, 0, 0], [5, 6, 5, 5, 5]])
    scores = {"actor": {FIRST: first, LAST: torch.tensor([[4.0, 3, 4], [0, 0, 0]])}}
    mask = build_mask(small(), scores, {"actor": 1 - 7 / 21}, structure="1:2")
    assert mask.nominal[FIRST].int().tolist() == [[1, 0, 1, 0, 0], [0] * 5, [0, 1, 1, 0, 1]]
    assert mask.nominal[LAST].int().tolist() == [[1, 0, 1], [0, 0, 0]]


def test_it_is_full_at_its_own_sparsity():
    structure, (network,) = NOfM(2, 4), small().networks
    least = structure.least_sparsity(network)  # 3 rows of 2 of 4 and 1 of 1; 2 rows of 2 of 3
    assert 21 * (1 - least) == pytest.approx(3 * 3 + 2 * 2)
    scores = {"actor": {FIRST: torch.rand(3, 5), LAST: torch.rand(2, 3)}}
    mask = build_mask(small(), scores, {"actor": least}, structure="2:4")
    assert mask.nominal[FIRST].sum(dim=1).tolist() == [3, 3, 3]
    assert mask.nominal[LAST].sum(dim=1).tolist() == [2, 2]
    check_request(small(), least, None, structure="2:4")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    case=st.sampled_from(sorted(AGENTS)),
    n=st.integers(1, 3),
    m=st.integers(2, 8),
    sparsity=st.sampled_from([0.0, 0.8, 0.97]),
    seed=st.integers(0, 2**31),
)
def test_no_group_has_more(case, n, m, sparsity, seed):
    assume(n < m and (sparsity == 0.0 or 1 - sparsity < n / m))
    subject = AGENTS[case]
    scores, asked = random_scores(subject, seed), subject.per_network(sparsity)
    mask = build_mask(subject, scores, asked, structure=f"{n}:{m}")
    for kept in mask.nominal.values():
        groups = kept.int().split(m, dim=1)
        assert sparsity == 0.0 or all(int(part.sum(dim=1).max()) <= n for part in groups)


def test_too_low_a_sparsity_is_refused_and_the_least_is_named():
    with pytest.raises(SparsityError, match=r"keeps 15 of 21 .* at most 13. Ask for 0.381 or"):
        check_request(small(), 0.3, None, structure="2:4")
    check_request(small(), 0.381, None, structure="2:4")
    check_request(small(), 0.0, None, structure="2:4")


def test_an_allocation_that_gives_a_layer_more_is_refused():
    with pytest.raises(SparsityError, match=r"gives .*_fc.weight .* at most 2"):
        check_request(small(), 13 / 21, {FIRST: 2 / 15, LAST: 1.0}, structure="1:3")


def test_groups_larger_than_every_layer_are_refused():
    with pytest.raises(MaskError, match=r"No layer of actor has 6 inputs"):
        check_request(small(), 0.9, None, structure="1:6")


@pytest.mark.parametrize("structure", ["units", "block(2, 2)"])
def test_constant_fan_ins_have_n_of_m_alone(structure):
    with pytest.raises(InputError, match="constant fan-in"):
        check_request(small(), 0.7, "constant_fan_in", structure=structure)
    check_request(small(), 0.7, "constant_fan_in", structure="1:2")


def test_groups_are_not_refilled():
    with pytest.raises(InputError, match="refill keeps single weights"):
        check_request(small(), 0.7, None, structure="1:2", refill=True)
    check_request(small(), 0.7, None, structure="units", refill=True)
