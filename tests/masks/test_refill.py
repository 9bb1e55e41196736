import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offline_prune.masks.allocation import ALLOCATIONS, kept_count, make_allocation
from offline_prune.masks.build import build_mask
from offline_prune.masks.floor import Floor
from offline_prune.masks.refill import _between_live_units
from tests.worlds import agent

AGENTS = {case: agent(*case) for case in [("vector-continuous", "iql"), ("pixel-discrete", "bcq")]}


def random_scores(subject, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        net.role: {n: torch.rand(w.shape, generator=generator) for n, w in net.weights.items()}
        for net in subject.networks
    }


@pytest.mark.slow
@given(
    case=st.sampled_from(sorted(AGENTS)),
    seed=st.integers(0, 2**31),
    sparsity=st.sampled_from([0.5, 0.9, 0.97, 0.99]),
    allocation=st.sampled_from([*ALLOCATIONS, "constant_fan_in(layers=global)"]),
)
@settings(max_examples=40, deadline=None)
def test_refilled_masks_keep_the_count_and_waste_less(case, seed, sparsity, allocation):
    subject = AGENTS[case]
    scores = random_scores(subject, seed)
    asked = subject.per_network(sparsity)
    plain = build_mask(subject, scores, asked, allocation)
    refilled = build_mask(subject, scores, asked, allocation, refill=True)
    for network in subject.networks:
        ours, theirs = refilled[network.role], plain[network.role]
        assert ours.n_kept == theirs.n_kept == kept_count(network.n_weights, sparsity)
        assert ours.n_connected >= theirs.n_connected


def test_nothing_is_wasted_where_there_is_room():
    subject = AGENTS["vector-continuous", "iql"]
    scores = random_scores(subject, 3)
    asked = subject.per_network(0.9)
    assert (
        build_mask(subject, scores, asked).n_connected < build_mask(subject, scores, asked).n_kept
    )
    refilled = build_mask(subject, scores, asked, refill=True)
    assert refilled.n_connected == refilled.n_kept


def test_a_fully_connected_mask_stays_as_it_is():
    subject = AGENTS["vector-continuous", "iql"]
    scores = random_scores(subject, 0)
    for found in scores.values():  # a head of one output alone keeps a unit alive
        for name in found:
            found[name] += "_layers" not in name
    asked = subject.per_network(0.2)
    plain = build_mask(subject, scores, asked)
    assert plain.n_connected == plain.n_kept
    assert build_mask(subject, scores, asked, refill=True) == plain


def test_given_densities_are_refilled_too():
    subject = AGENTS["vector-continuous", "iql"]
    scores = random_scores(subject, 1)
    densities = dict.fromkeys(subject.weights, 0.05)
    asked = subject.per_network(0.95)
    plain = build_mask(subject, scores, asked, densities)
    refilled = build_mask(subject, scores, asked, densities, refill=True)
    assert refilled.n_kept == plain.n_kept
    assert refilled.n_connected > plain.n_connected


def connected_and_possible(subject, mask):
    """Weight name → connected part, and the weights between units that are alive."""
    possible = _between_live_units(subject.chains, mask.connected)
    return {name: (mask.connected[name], possible[name]) for name in mask.connected}


@pytest.mark.slow
@given(
    case=st.sampled_from(sorted(AGENTS)),
    seed=st.integers(0, 2**31),
    sparsity=st.sampled_from([0.5, 0.9, 0.97, 0.99, 0.997]),
    floor=st.sampled_from(["floor(fan_in=3)", "floor(fan_in=20)", "floor(density=0.04)"]),
)
@settings(max_examples=30, deadline=None)
def test_floors_hold_for_connected_weights(case, seed, sparsity, floor):
    subject, asked = AGENTS[case], AGENTS[case].per_network(sparsity)
    scores = random_scores(subject, seed)
    for found in scores.values():  # inputs and heads have low scores, as SNIP's may be
        for name in (next(iter(found)), list(found)[-1]):
            found[name] *= 1e-3
    rule = make_allocation(floor)
    assert isinstance(rule, Floor)
    mask = build_mask(subject, scores, asked, floor, refill=True)
    seen = connected_and_possible(subject, mask)
    for network in subject.networks:
        shapes = {name: tuple(weight.shape) for name, weight in network.weights.items()}
        least = rule.counts(shapes, kept_count(network.n_weights, sparsity))
        for name in shapes:
            connected, possible = (int(part.sum()) for part in seen[name])
            assert connected >= min(least[name], possible), name


@pytest.mark.slow
@given(
    case=st.sampled_from(sorted(AGENTS)),
    seed=st.integers(0, 2**31),
    sparsity=st.sampled_from([0.5, 0.9, 0.97, 0.99, 0.997]),
    layers=st.sampled_from(["erk", "global", "uniform"]),
    share_critics=st.booleans(),
)
@example(  # the imitator's head reads the critic's encoder, which was refilled after it
    case=("pixel-discrete", "bcq"), seed=0, sparsity=0.997, layers="erk", share_critics=True
)
@settings(max_examples=20, deadline=None)
def test_units_that_are_alive_have_a_constant_fan_in(case, seed, sparsity, layers, share_critics):
    subject, asked = AGENTS[case], AGENTS[case].per_network(sparsity)
    mask = build_mask(
        subject,
        random_scores(subject, seed),
        asked,
        f"constant_fan_in(layers={layers})",
        share_critics=share_critics,
        refill=True,
    )
    for name, (connected, possible) in connected_and_possible(subject, mask).items():
        kept, may = connected.flatten(1).sum(dim=1), possible.flatten(1).sum(dim=1)
        alive = may > 0
        most = int(kept.max())
        assert (kept[alive] >= may[alive].clamp(max=most - 1)).all(), name
