import pytest

from offline_prune.evaluation.statistics import interquartile_mean, probability_of_improvement
from offline_prune.reporting.comparison import compare
from offline_prune.reporting.runs import read_runs
from offline_prune.reporting.tasks import find_tasks
from offline_prune.study import Cell
from offline_prune.study.records import write_record
from tests.reporting.studies import record

DENSE = [0.8, 0.6, 0.9, 0.7, 0.5]


@pytest.fixture
def compared(tmp_path):
    """(method, sparsity) → scores by seed → comparisons by method."""

    def call(scores, **options):
        for (method, sparsity), values in scores.items():
            for seed, value in enumerate(values):
                cell = Cell("lab/arm-v0", "bc", seed, method, sparsity)
                failed = {"error": "boom"} if value is None else {}
                write_record(tmp_path, record(cell, value or 0.0, **failed, **options))
        (task,) = find_tasks(read_runs(tmp_path))
        return {c.group.label: c for c in compare(task)}

    return call


def test_the_ratio_pairs_seeds(compared):
    # Every pruned run has .98 of the dense run of its seed, so every resample has that ratio;
    # unpaired resamples would not.
    found = compared({("dense", 0.0): DENSE, ("snip", 0.9): [0.98 * v for v in DENSE]})
    ratio = found["snip"].ratio
    assert [ratio.value, ratio.low, ratio.high] == pytest.approx([0.98] * 3)
    assert found["snip"].retained
    assert found["dense"].ratio is None
    assert found["dense"].retained is None


def test_the_lower_bound_decides(compared):
    found = compared({("dense", 0.0): DENSE, ("snip", 0.9): [*DENSE[:4], 0.9 * DENSE[4]]})
    assert found["snip"].ratio.value > 0.97 > found["snip"].ratio.low
    assert found["snip"].retained is False


def test_a_failed_run_is_not_retained(compared):
    found = compared({("dense", 0.0): DENSE, ("snip", 0.9): [*DENSE[:4], None]})
    assert found["snip"].ratio.low == pytest.approx(1.0)
    assert found["snip"].retained is False


def test_intervals_are_those_of_the_statistics(compared):
    ours, control = [0.5, 0.4, 0.6], [0.4, 0.45, 0.3]
    found = compared(
        {("dense", 0.0): DENSE[:3], ("snip", 0.9): ours, ("shuffled(snip)", 0.9): control}
    )["snip"]
    assert found.interval == interquartile_mean({"any": ours})
    assert found.over_dense == probability_of_improvement({"a": ours}, {"a": DENSE[:3]})
    assert found.over_shuffled == probability_of_improvement({"a": ours}, {"a": control})


def test_a_shuffled_mask_of_another_sparsity_is_no_control(compared):
    found = compared({("snip", 0.9): DENSE, ("shuffled(snip)", 0.5): DENSE})
    assert found["snip"].over_shuffled is None


def test_one_run_has_no_interval(compared):
    found = compared({("dense", 0.0): DENSE, ("snip", 0.9): [0.5]})["snip"]
    assert found.iqm == 0.5
    assert (found.interval, found.ratio, found.over_dense) == (None, None, None)
    assert found.no_ratio == "one pair of seeds"


def test_nothing_is_divided_by_a_return_or_by_next_to_nothing(compared):
    assert compared({("dense", 0.0): DENSE, ("snip", 0.9): DENSE}, reference=False)[
        "snip"
    ].no_ratio == ("no references")


def test_nothing_is_divided_by_a_score_near_zero(compared):
    found = compared({("dense", 0.0): [0.01, 0.02], ("snip", 0.9): [0.5, 0.5]})["snip"]
    assert (found.ratio, found.no_ratio) == (None, "dense scores too little")


def test_size_and_time_are_relative_to_dense(compared, tmp_path):
    for seed, seconds in enumerate((8.0, 10.0, 40.0)):
        write_record(tmp_path, record(Cell("lab/arm-v0", "bc", seed), 0.8, seconds=seconds))
        cell = Cell("lab/arm-v0", "bc", seed, "snip", 0.5)
        write_record(tmp_path, record(cell, 0.8, seconds=4.0))
    found = compared({})["snip"]
    assert found.time_ratio == 0.4  # the median of .5, .4 and .1
    assert found.kept_fraction == 0.5
    assert found.effective_sparsity == pytest.approx(1 - 0.9 * 0.5, abs=1e-3)
