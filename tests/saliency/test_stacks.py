"""Budgets of the stacks of a network."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offline_prune.masks.counts import keep_highest
from offline_prune.saliency.stacks import stack_budgets, within_budgets
from tests.worlds import agent

KIND = "vector-continuous"
SIZES = {"a": (6, 5), "b": (5, 2), "c": (20,)}
STACKS = (("a", "b"), ("c",))


def positive_scores(seed):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.rand(shape, generator=generator) + 0.01 for n, shape in SIZES.items()}


def flat(scores, names):
    return torch.cat([scores[name].flatten() for name in names])


@settings(deadline=None)
@example(0, 0, 20)
@given(st.integers(0, 99), st.integers(0, 40), st.integers(0, 20))
def test_one_threshold_leaves_every_stack_the_best_of_its_budget(seed, first, second):
    scores = positive_scores(seed)
    found = within_budgets(scores, dict(zip(STACKS, (first, second), strict=True)))
    kept = keep_highest(flat(found, SIZES), first + second)
    for part, names, count in zip(kept.split([40, 20]), STACKS, (first, second), strict=True):
        assert int(part.sum()) == count
        torch.testing.assert_close(part, keep_highest(flat(scores, names), count))


def test_on_the_way_densities_are_powers_of_the_last_ones():
    """By hand: 10 of 40 and 5 of 20 are quarters; halfway to them are halves."""
    found = within_budgets(positive_scores(0), dict(zip(STACKS, (10, 5), strict=True)))
    halves = [int((flat(found, names) > 0.5).sum()) for names in STACKS]
    assert halves == [20, 10]


def test_weights_on_no_path_stay_at_zero_and_other_stacks_as_they_are():
    scores = positive_scores(1)
    scores["a"][0] = 0.0
    found = within_budgets(scores, {STACKS[0]: 4})
    assert bool((found["a"][0] == 0.0).all())
    assert bool((found["a"][1:] > 0.0).all())
    assert found["c"] is scores["c"]


def test_budgets_are_what_one_threshold_leaves():
    """Encoder weights are worth 1 and decoder weights 2: all of the budget is the decoder's."""
    subject = agent(KIND, "bcq")
    scores = {
        name: torch.full_like(weight, 2.0 if "decoder" in name else 1.0)
        for name, weight in subject.weights.items()
    }
    sparsity = subject.per_network(0.9)
    budgets = stack_budgets(subject, scores, sparsity)
    assert list(budgets) == ["imitator"]
    counts = {"decoder" in names[0]: count for names, count in budgets["imitator"].items()}
    network = next(net for net in subject.networks if net.role == "imitator")
    assert counts == {False: 0, True: round(network.n_weights * 0.1)}


@pytest.mark.parametrize("algo", ["bc", "iql", "cql", "td3_plus_bc"])
def test_networks_of_one_stack_have_none(algo):
    subject = agent(KIND, algo)
    assert stack_budgets(subject, subject.weights, subject.per_network(0.9)) == {}
