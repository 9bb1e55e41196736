"""Units of a layer keep the same number of weights up to one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.errors import InputError, UnknownNameError
from offline_prune.masks.allocation import allocate, is_constant_fan_in
from offline_prune.masks.constant_fan_in import ConstantFanIn, keep_highest_by_unit
from tests.masks.test_allocation import shapes, sparsities
from tests.masks.test_floor import counts, random_scores

LAYERS = ("erk", "global", "uniform")


def fan_ins(mask):
    return mask.flatten(1).sum(dim=1).tolist()


def test_the_best_of_every_unit_and_one_more_where_it_is_worth_most():
    scores = {"w": torch.tensor([[9.0, 1.0, 8.0, 2.0], [7.0, 6.0, 5.0, 0.0], [3.0, 3.0, 3.0, 3.0]])}
    mask = allocate(scores, 5 / 12, "constant_fan_in")["w"]  # 7: two each, and the 5
    assert mask.tolist() == [
        [True, False, True, False],
        [True, True, True, False],
        [True, True, False, False],
    ]


def test_ties_go_to_the_lower_flat_index():
    mask = allocate({"w": torch.zeros(3, 2, 2, 1)}, 7 / 12, "constant_fan_in")["w"]
    assert mask.flatten(1).tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [True, False, False, False],
    ]


def test_few_weights_go_to_the_best_units():
    scores = {"w": torch.tensor([[1.0, 2.0], [4.0, 3.0], [0.0, 5.0]])}
    mask = allocate(scores, 4 / 6, "constant_fan_in")["w"]
    assert mask.tolist() == [[False, False], [True, False], [False, True]]


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.sampled_from(LAYERS), shapes, sparsities, st.integers(0, 2**31), st.booleans())
def test_units_differ_by_at_most_one_within_the_budgets(layers, sizes, sparsity, seed, ties):
    scores = random_scores(sizes, seed, ties)
    masks = allocate(scores, sparsity, f"constant_fan_in(layers={layers})")
    assert counts(masks) == counts(allocate(scores, sparsity, layers))
    for name, mask in masks.items():
        found = fan_ins(mask)
        assert max(found) - min(found) <= 1
        rows = scores[name].flatten(1)
        best = [sorted(range(rows.shape[1]), key=lambda i: (-row[i], i)) for row in rows]
        for row, order, kept in zip(mask.flatten(1), best, found, strict=True):
            assert sorted(order[:kept]) == row.nonzero().squeeze(1).tolist()
        # Those that keep one more have the highest next best score, the first of equals.
        if max(found) > min(found):
            worth = [float(rows[u, best[u][min(found)]]) for u in range(len(rows))]
            first = sorted(range(len(rows)), key=lambda u: (-worth[u], u))
            more = [u for u, kept in enumerate(found) if kept == max(found)]
            assert sorted(first[: len(more)]) == more


def test_erk_is_the_default():
    scores = random_scores([(12, 5), (12, 12), (2, 12)], 0)
    default = allocate(scores, 0.8, "constant_fan_in")
    named = allocate(scores, 0.8, "constant_fan_in('erk')")
    assert counts(default) == counts(allocate(scores, 0.8, "erk"))
    assert all(torch.equal(default[name], named[name]) for name in default)


def test_highest_by_unit():
    scores = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 5.0]])
    mask = keep_highest_by_unit(scores, torch.tensor([1, 2]))
    assert mask.tolist() == [[False, True, False], [True, False, True]]


def test_units_that_lost_weights_are_levelled_with_the_best_that_are_allowed():
    rule = ConstantFanIn(lambda scores, sparsity: {})
    chosen = {"w": torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)}
    scores = {"w": torch.tensor([[0.0, 0.0, 0.0, 9.0], [0.0, 3.0, 1.0, 2.0], [1.0] * 4])}
    allowed = {"w": torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)}
    found = rule.complete(chosen, scores, allowed)
    assert found["w"].int().tolist() == [[1, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
    # The next one goes to the unit that has fewer, whatever the scores say.
    found = rule.spend(found, scores, allowed, 6)
    assert found["w"].int().tolist() == [[1, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]]
    found = rule.spend(found, scores, allowed, 9)
    assert found["w"].int().tolist() == [[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0]]


def test_layers_are_levelled_each_by_itself():
    rule = ConstantFanIn(lambda scores, sparsity: {})
    chosen = {"a": torch.ones(2, 9, dtype=torch.bool), "b": torch.zeros(2, 9, dtype=torch.bool)}
    everything = {name: torch.ones_like(mask) for name, mask in chosen.items()}
    chosen["a"][:, 8] = False
    scores = {"a": torch.zeros(2, 9), "b": torch.ones(2, 9)}
    for added, expected in [(0, (16, 0)), (1, (16, 1)), (2, (16, 2)), (4, (18, 2)), (5, (18, 3))]:
        found = counts(rule.spend(chosen, scores, everything, 16 + added))
        assert found == dict(zip("ab", expected, strict=True))


def test_which_allocations_have_a_constant_fan_in():
    assert is_constant_fan_in("constant_fan_in")
    assert is_constant_fan_in("constant-fan-in(layers=uniform)")
    assert not is_constant_fan_in("erk")
    assert not is_constant_fan_in({"w": 0.5})


@pytest.mark.parametrize("text", ["layers=local", "layers=floor", "layers=3", "layers=erk(3)"])
def test_unknown_budgets_are_refused(text):
    with pytest.raises(UnknownNameError, match=r"layers of constant_fan_in .* erk, global, unif"):
        allocate({"w": torch.ones(2, 2)}, 0.5, f"constant_fan_in({text})")


@pytest.mark.parametrize("text", ["shares=erk", "erk, global"])
def test_unknown_arguments_are_refused(text):
    with pytest.raises(InputError, match="constant_fan_in does not take these arguments"):
        allocate({"w": torch.ones(2, 2)}, 0.5, f"constant_fan_in({text})")
