"""What the page on offline choices says, on cells whose numbers are worked out by hand."""

import math

import pytest

from benchmarks.offline_choice_report import (
    RULES,
    chosen,
    correlations,
    judged,
    ladders,
    rule_row,
)

BOTH = RULES["both, lower end (`auto`)"]
APART = RULES["disagreement alone"]
VALUES = RULES["fitted values alone, lower end"]


def cell(method, sparsity, seed, score, value, apart, **other):
    """An agent of two fits over two episodes that agree: its interval is a point."""
    return {
        "task": "t", "method": method, "sparsity": sparsity, "seed": seed, "score": score,
        "fits": [[value, value]] * 2, "is_possible": True, "range": 10.0, "gamma": 0.9,
        "td_error": None, "apart": apart, **other,
    }  # fmt: skip


@pytest.fixture
def cells():
    """Dense agents .1 apart and of score 1; pruned ones that get worse, and one that diverged."""
    return [
        cell("dense", 0.0, 0, 0.8, 5.0, {"1": 0.1}),
        cell("dense", 0.0, 1, 1.2, 5.0, {"0": 0.1}),
        cell("snip", 0.95, 0, 0.5, 5.0, {"0": 0.2, "1": 0.2}),  # far away, though worth as much
        cell("snip", 0.8, 0, 1.1, 4.8, {"0": 0.1, "1": 0.5}),  # good, and .02 ranges worse
        cell("snip", 0.9, 0, 1.0, 4.6, {"0": 0.05, "1": 0.5}),  # close, and .04 ranges worse
        cell("random", 0.8, 1, 0.4, 9.0, {"0": 0.0, "1": 0.05}, is_possible=False),
    ]


def test_judged_beside_the_dense_agent_of_the_same_seed(cells):
    found = {(j.cell["method"], j.cell["sparsity"]): j for j in judged(cells)}
    good = found["snip", 0.8]
    assert (good.apart, good.noise) == pytest.approx((0.1, 0.1))
    assert (good.value, good.low, good.high) == pytest.approx((-0.02, -0.02, -0.02))
    assert good.ratio == pytest.approx(1.1)  # over the mean of 0.8 and 1.2
    diverged = found["random", 0.8]
    assert (diverged.value, diverged.low, diverged.apart) == (None, -math.inf, 0.05)


def test_each_half_of_the_rule_refuses_on_its_own(cells):
    by_sparsity = {j.cell["sparsity"]: j for j in judged(cells) if j.cell["method"] == "snip"}
    accepted = {
        rule: [s for s in (0.8, 0.9, 0.95) if accepts(by_sparsity[s])]
        for rule, accepts in {"both": BOTH, "apart": APART, "values": VALUES}.items()
    }
    assert accepted == {"both": [0.8], "apart": [0.8, 0.9], "values": [0.8, 0.95]}


def test_a_search_ends_at_the_first_refusal(cells):
    (ladder,) = (own for (method, _), own in ladders(judged(cells)).items() if method == "snip")
    assert [j.cell["sparsity"] for j in ladder] == [0.8, 0.9, 0.95]
    assert chosen(ladder, VALUES).cell["sparsity"] == 0.8  # .95 would pass, and is not reached
    assert chosen(ladder, APART).cell["sparsity"] == 0.9
    assert chosen(ladder, RULES["always dense"]) is None


def test_regret_is_against_the_best_of_the_ladder_or_dense(cells):
    searches = list(ladders(judged(cells)).values())
    # Regret 0 for SNIP, whose .8 is best; the diverged one leaves the dense agent, which is.
    assert rule_row(searches, BOTH) == pytest.approx((0.4, 2, 0.0, 1.0))
    # SNIP's .9 (1.0, best 1.1) and the random agent (0.4, best 1.0).
    assert rule_row(searches, APART) == pytest.approx((0.85, 1, 0.35, 0.4))
    assert rule_row(searches, RULES["always dense"]) == pytest.approx((0.0, 2, 0.05, 1.0))


def test_correlations_have_the_sign_of_better():
    scores = [0.2, 0.4, 0.6, 0.8, 1.0]
    dense = [cell("dense", 0.0, s, 1.0, 5.0, {str(1 - s): 0.1}) for s in (0, 1)]
    pruned = [
        cell("snip", 0.8, 0, s, s, {"0": 1 - s}, td_error=s) for s in scores
    ]  # value and agreement rise with the score, and so does the TD error
    value, agreement, td = correlations([], judged(dense + pruned))
    assert value.startswith("+1.00")
    assert agreement.startswith("+1.00")
    assert td.startswith("-1.00")
    pruned[0]["td_error"] = None
    assert correlations([], judged(dense + pruned))[2] == "–"
