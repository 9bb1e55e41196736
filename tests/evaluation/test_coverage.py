"""Do the intervals hold what they promise? Simulated, with few seeds."""

import numpy as np
import pytest

from offline_prune.evaluation.statistics import (
    RETAINED,
    Estimate,
    interquartile_mean,
    probability_of_improvement,
    ratio_to_dense,
)

RUNS = 300
FEW = {"n_resamples": 400}  # only the standard error is read


def share(hits):
    return sum(hits) / len(hits)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "tasks"), [(3, 1), (5, 1), (10, 1), (5, 4)])
@pytest.mark.parametrize("spread", [0.02, 0.06])
def test_the_ratio_s_interval_covers(seeds, tasks, spread):
    """95 % are promised; percentile intervals cover 75, 90, 94 and 91 % here."""
    rng = np.random.default_rng(seeds * 100 + tasks)
    hits = []
    for _ in range(RUNS):
        ours, dense = (
            {t: 1.0 + spread * rng.normal(size=seeds) for t in range(tasks)} for _ in range(2)
        )
        found = ratio_to_dense(ours, dense, **FEW)
        hits.append(found.low <= 1.0 <= found.high)
    assert share(hits) > 0.925


def test_the_mean_s_interval_covers():
    rng = np.random.default_rng(1)
    found = [interquartile_mean({"a": rng.normal(size=5)}, **FEW) for _ in range(RUNS)]
    assert share([e.low <= 0.0 <= e.high for e in found]) > 0.925


def test_the_probability_s_interval_covers():
    """Of two normal variables a standard deviation apart: Φ(1 / √2)."""
    rng = np.random.default_rng(2)
    found = [
        probability_of_improvement({"a": rng.normal(1, 1, 10)}, {"a": rng.normal(0, 1, 10)}, **FEW)
        for _ in range(RUNS)
    ]
    assert share([e.low <= 0.7602 <= e.high for e in found]) > 0.925


@pytest.mark.slow
def test_the_power_is_how_often_an_equal_method_is_called_retained():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(RUNS):
        ours, dense = ({"a": 1.0 + 0.02 * rng.normal(size=5)} for _ in range(2))
        found.append(ratio_to_dense(ours, dense, **FEW))
    called = share([e.retained for e in found])
    said = np.mean([e.power for e in found])
    assert 0.15 < called < 0.45
    assert abs(called - said) < 0.12


def estimate(value, error, seeds=5):
    t = 2.7764451051977987  # of four degrees of freedom
    return Estimate(value, value - t * error, value + t * error, 0.95, error, seeds, seeds - 1)


def test_verdicts_by_hand():
    assert estimate(1.0, 0.01).verdict == "retained"
    assert estimate(0.9, 0.01).verdict == "not retained"
    undecided = estimate(1.0, 0.02)
    assert undecided.verdict == "undecided"
    # .03 must exceed t(n − 1) · .02 · sqrt(5 / n): .0300 (a little more) at n = 11, .0284 at 12.
    assert undecided.seeds_to_decide == 12
    assert estimate(RETAINED, 0.01).seeds_to_decide is None
    assert estimate(1.0, 0.01).seeds_to_decide == 5
    assert estimate(1.0, 1e-9).power == pytest.approx(1.0)
    # t − .03 / .03 = 1.776: P(T₄ > 1.776)
    assert estimate(1.0, 0.03).power == pytest.approx(0.0752, abs=1e-3)
