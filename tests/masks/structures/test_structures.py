"""What every structure keeps: counts, order, what is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.errors import InputError, UnknownNameError
from offline_prune.masks.allocation import kept_count
from offline_prune.masks.build import build_mask
from offline_prune.masks.structures import STRUCTURES, kind_of, make_structure
from tests.masks.test_refill import AGENTS, random_scores

EXAMPLES = ("units", "units(density=0.2)", "units(density=1)", "block", "block(2, 3)", "2:4", "1:6")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    case=st.sampled_from(sorted(AGENTS)),
    structure=st.sampled_from(EXAMPLES),
    sparsity=st.sampled_from([0.0, 0.85, 0.95, 0.99]),
    share_critics=st.booleans(),
    ties=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_counts_are_exact_and_masks_the_same_again(
    case, structure, sparsity, share_critics, ties, seed
):
    subject = AGENTS[case]
    scores = random_scores(subject, seed)
    if ties:
        scores = {r: {n: s.round() for n, s in found.items()} for r, found in scores.items()}
    asked = subject.per_network(sparsity)
    first, second = (
        build_mask(subject, scores, asked, share_critics=share_critics, structure=structure)
        for _ in range(2)
    )
    assert first == second
    for network in subject.networks:
        if not (share_critics and network.role.startswith("critic")):
            assert first[network.role].n_kept == kept_count(network.n_weights, sparsity)
    total = sum(kept_count(net.n_weights, sparsity) for net in subject.networks)
    assert abs(first.n_kept - total) <= 1  # critics are rounded together


@pytest.mark.parametrize(
    ("structure", "allocation"),
    [
        (s, a)
        for s in ("units", "block", "2:4")
        for a in ("uniform", "erk")
        if (s, a) != ("2:4", "erk")
    ],
)
def test_layers_get_what_the_allocation_gives_them(structure, allocation):
    subject = AGENTS["vector-continuous", "iql"]
    scores, asked = random_scores(subject, 0), subject.per_network(0.9)
    plain = build_mask(subject, scores, asked, allocation)
    mask = build_mask(subject, scores, asked, allocation, structure=structure)
    assert mask != plain
    assert mask.layer_densities == plain.layer_densities


@pytest.mark.parametrize("structure", EXAMPLES)
def test_weights_that_may_not_be_kept_are_not(structure):
    subject = AGENTS["vector-continuous", "iql"]
    within = {n: torch.rand(w.shape) < 0.5 for n, w in subject.weights.items()}
    scores = {
        role: {n: torch.where(within[n], s, -1.0) for n, s in found.items()}
        for role, found in random_scores(subject, 1).items()
    }
    asked = subject.per_network(0.95)
    mask = build_mask(subject, scores, asked, structure=structure, within=within)
    assert not any(bool((kept & ~within[name]).any()) for name, kept in mask.nominal.items())


def test_kinds():
    assert {kind_of(make_structure(text)) for text in EXAMPLES} == set(STRUCTURES)
    assert make_structure("2:4") == make_structure(" 2 : 4 ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unit", "structure 'unit'. Did you mean 'units'"),
        ("units(density=0)", "density of units is above 0"),
        ("units(density=2)", "density of units is above 0 and at most 1, not 2"),
        ("units(factor=2)", "units does not take these arguments"),
        ("block(0, 4)", "rows of a block"),
        ("block(4, 2.5)", "columns of a block"),
        ("n:m", "write how many of how many"),
        ("4:4", "fewer than all, not 4 of 4"),
        ("0:4", "n of an n:m structure"),
        (3, "not int"),
    ],
)
def test_what_is_wrong_is_refused_by_name(text, message):
    with pytest.raises(InputError, match=message):
        make_structure(text)


def test_an_unknown_structure_is_an_unknown_name():
    with pytest.raises(UnknownNameError):
        make_structure("rows")
