"""Effect sizes, and verdicts that hold together."""

import math

import numpy as np
import pytest

from offline_prune.errors import InputError
from offline_prune.evaluation.statistics import (
    hedges_g,
    holm,
    ratio_to_dense,
    verdicts_together,
)


def test_holm_by_hand():
    """In order .01, .02, .03, .9: 4 · .01, 3 · .02, max(.06, 2 · .03), .9."""
    found = holm({"a": 0.03, "b": 0.01, "c": 0.9, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert list(found.values()) == pytest.approx([0.06, 0.04, 0.9, 0.06])


def test_holm_of_none_and_of_one():
    assert holm({}) == {}
    assert holm({"a": 0.04}) == {"a": 0.04}


def test_no_p_value():
    with pytest.raises(InputError, match="'b' is 1"):
        holm({"a": 0.5, "b": 1.5})


def test_of_equals_at_the_bar_hardly_one_is_judged():
    """Twenty ratios of 1 against a bar of 1: a wrong verdict in 5 % of families."""
    rng = np.random.default_rng(0)
    alone = together = 0
    for _ in range(30):
        ratios = {
            n: ratio_to_dense(
                {"a": 1 + 0.02 * rng.normal(size=5)}, {"a": 1 + 0.02 * rng.normal(size=5)},
                bar=1.0, n_resamples=100,
            )
            for n in range(20)
        }  # fmt: skip
        alone += any(ratio.verdict != "undecided" for ratio in ratios.values())
        together += any(v != "undecided" for v in verdicts_together(ratios).values())
    assert alone > 8
    assert together <= 5  # 1.5, and three standard errors of a binomial of 30 draws more


def test_hedges_g_by_hand():
    """Means 2 and 4, pooled deviation 1, J = 1 − 3 / 15."""
    assert hedges_g([1, 2, 3], [3, 4, 5]) == pytest.approx(-1.6)
    assert hedges_g([3, 4, 5], [1, 2, 3]) == pytest.approx(1.6)


def test_hedges_g_is_hardly_biased():
    rng = np.random.default_rng(1)
    found = [hedges_g(rng.normal(1, 1, 5), rng.normal(0, 1, 5)) for _ in range(4_000)]
    assert np.mean(found) == pytest.approx(1.0, abs=0.05)


def test_hedges_g_without_spread():
    assert hedges_g([1, 1], [2, 2]) == -math.inf
    assert hedges_g([1, 1], [1, 1]) == 0.0


def test_hedges_g_of_one_run():
    with pytest.raises(InputError, match="two runs a side"):
        hedges_g([1], [1, 2])
