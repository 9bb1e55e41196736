import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.masks.allocation import kept_count
from offline_prune.masks.build import build_mask
from tests.worlds import agent

AGENTS = {case: agent(*case) for case in [("vector-continuous", "iql"), ("pixel-discrete", "bcq")]}


def random_scores(subject, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        net.role: {n: torch.rand(w.shape, generator=generator) for n, w in net.weights.items()}
        for net in subject.networks
    }


@given(
    case=st.sampled_from(sorted(AGENTS)),
    seed=st.integers(0, 2**31),
    sparsity=st.sampled_from([0.5, 0.9, 0.97, 0.99]),
    allocation=st.sampled_from(["global", "uniform", "erk"]),
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
