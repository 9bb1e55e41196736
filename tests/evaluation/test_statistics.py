"""Statistics of runs, on numbers worked out by hand and against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from offline_prune.errors import InputError
from offline_prune.evaluation.statistics import (
    final_window_mean,
    interquartile_mean,
    iqm,
    performance_profile,
    probability_of_improvement,
    ratio_to_dense,
)

NUMBERS = st.floats(-100, 100, width=32)
RUNS = st.lists(NUMBERS, min_size=2, max_size=7)


def test_the_final_window_is_the_end_and_not_the_best():
    assert final_window_mean([0.0, 9.0, 1.0, 2.0, 3.0], 3) == 2.0
    assert final_window_mean([1.0, 3.0], 5) == 2.0
    for window in (0, -1, True, 2.0):
        with pytest.raises(InputError, match="window"):
            final_window_mean([1.0], window)
    with pytest.raises(InputError, match="finite"):
        final_window_mean([], 3)


def test_the_interquartile_mean_leaves_a_quarter_out_on_each_side():
    assert iqm([100.0, 1.0, 2.0, -50.0]) == 1.5
    # Nine numbers: two go on each side, five stay.
    assert iqm([9, 8, 7, 6, 5, 4, 3, 2, 1]) == 5.0
    assert iqm([1.0, 2.0, 3.0]) == 2.0  # too few to leave any out
    tasks = {"a": [0.0, 1.0], "b": [2.0, 100.0]}
    assert interquartile_mean(tasks, n_resamples=50).value == 1.5


def test_the_bootstrap_draws_within_tasks():
    """All runs of a task equal: nothing can vary, though the tasks differ."""
    found = interquartile_mean({"a": [0.0] * 4, "b": [1.0] * 4}, n_resamples=200)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_interval_of_two_runs_is_known():
    """Of two runs 0 and 1 a resample has mean 0, ½ or 1 with odds ¼, ½ and ¼: sd √⅛, e = ½."""
    found = interquartile_mean({"a": [0.0, 1.0]}, n_resamples=4000)
    t = stats.t.ppf(0.975, 1)
    assert (found.error, found.seeds, found.degrees) == (pytest.approx(0.5, rel=0.05), 2, 1)
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.5, 0.5 - t * found.error, 0.5 + t * found.error)
    )


@pytest.mark.slow
def test_the_interval_agrees_with_a_bootstrap_written_out():
    rng = np.random.default_rng(3)
    scores = {task: rng.normal(size=6) for task in "abc"}
    found = interquartile_mean(scores, n_resamples=4000)
    resampled = [
        stats.trim_mean(np.concatenate([rng.choice(runs, 6) for runs in scores.values()]), 0.25)
        for _ in range(4000)
    ]
    width = stats.t.ppf(0.975, 15) * np.std(resampled) * np.sqrt(6 / 5)
    assert found.value == stats.trim_mean(np.concatenate(list(scores.values())), 0.25)
    assert found.high - found.value == pytest.approx(width, rel=0.05)
    assert found.value - found.low == pytest.approx(width, rel=0.05)


def test_probability_of_improvement_by_hand():
    """a: pairs 2>1, 2=2, 3>1, 3>2 give 3.5 of 4; b: one of two gives ½."""
    ours = {"a": [2.0, 3.0], "b": [0.0, 2.0]}
    theirs = {"b": [1.0, 1.0], "a": [1.0, 2.0]}
    found = probability_of_improvement(ours, theirs)
    assert found.value == pytest.approx((3.5 / 4 + 0.5) / 2)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


@given(RUNS, RUNS)
@settings(max_examples=25, deadline=None)
def test_probability_of_improvement_is_mann_whitneys_u(x, y):
    u = stats.mannwhitneyu(x, y).statistic
    one = probability_of_improvement({"a": x}, {"a": y}).value
    other = probability_of_improvement({"a": y}, {"a": x}).value
    assert one == pytest.approx(u / (len(x) * len(y)))
    assert one + other == pytest.approx(1.0)


def test_the_profile_counts_runs_strictly_above():
    scores = {"a": [0.0, 0.5, 1.0, 1.0], "b": [0.5, 0.5]}
    found = performance_profile(scores, [-1.0, 0.5, 0.9, 2.0], n_resamples=200)
    assert found.values.tolist() == [1.0, 0.25, 0.25, 0.0]
    assert (found.low <= found.values).all()
    assert (found.values <= found.high).all()


@given(st.dictionaries(st.sampled_from("abc"), RUNS, min_size=1))
@settings(max_examples=25, deadline=None)
def test_a_profile_falls_and_an_interquartile_mean_lies_within(scores):
    found = performance_profile(scores, np.linspace(-101, 100, 12), n_resamples=10)
    assert found.values[0] == 1
    assert found.values[-1] == 0
    assert (np.diff(found.values) <= 1e-12).all()
    every = np.concatenate([np.asarray(runs, float) for runs in scores.values()])
    value = interquartile_mean(scores, n_resamples=10).value
    assert every.min() - 1e-9 <= value <= every.max() + 1e-9


def test_the_ratio_to_dense_draws_pairs():
    """Every pruned run has .98 of its dense run's score: so has every resample."""
    rng = np.random.default_rng(0)
    dense = {task: rng.uniform(0.3, 1.0, 5) for task in "ab"}
    pruned = {task: 0.98 * runs for task, runs in dense.items()}
    found = ratio_to_dense(pruned, dense, n_resamples=500)
    assert (found.value, found.low, found.high) == pytest.approx((0.98, 0.98, 0.98))
    assert found.retained
    shuffled = {task: runs[[1, 2, 3, 4, 0]] for task, runs in pruned.items()}
    unpaired = ratio_to_dense(shuffled, dense, n_resamples=500)
    assert unpaired.value == pytest.approx(0.98)
    assert unpaired.low < 0.97
    assert not unpaired.retained


def test_the_same_seed_gives_the_same_interval():
    scores = {"a": [0.1, 0.9, 0.4], "b": [0.3, 0.2]}
    one = interquartile_mean(scores, n_resamples=100, seed=1)
    assert one == interquartile_mean(scores, n_resamples=100, seed=1)
    assert str(one) == f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interquartile_mean({}), "no scores"),
        (lambda: interquartile_mean({"a": [1.0]}), "two seeds"),
        (lambda: interquartile_mean({"a": [1.0, float("nan")]}), "finite"),
        (lambda: interquartile_mean({"a": [1.0, 2.0]}, level=95), r"\(0, 1\)"),
        (lambda: probability_of_improvement({"a": [1, 2]}, {"b": [1, 2]}), "same tasks"),
        (lambda: probability_of_improvement({"a": [1, 2]}, {"a": [1]}), "two seeds"),
        (lambda: ratio_to_dense({"a": [1, 2]}, {"a": [1, 2, 3]}), "one seed"),
        (lambda: ratio_to_dense({"a": [1, 2]}, {"a": [0.01, 0.02]}), "means nothing"),
    ],
)
def test_what_cannot_be_computed_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
