import numpy as np
import pytest

from offline_prune.evaluation.statistics import interquartile_mean
from offline_prune.reporting.curves import mean_curve
from offline_prune.reporting.runs import read_runs
from offline_prune.reporting.tasks import find_tasks
from offline_prune.study import Cell
from offline_prune.study.records import write_record
from tests.reporting.studies import record


def group(directory, scores):
    for seed, score in enumerate(scores):
        write_record(directory, record(Cell("lab/arm-v0", "bc", seed), score))
    (task,) = find_tasks(read_runs(directory))
    return task, task.groups[0]


def test_the_curve_is_the_interquartile_mean_at_each_point(tmp_path):
    curve = mean_curve(*group(tmp_path, [0.2, 0.5, 0.6, 5.0]))
    assert curve.steps == (100, 200, 300, 400, 500)
    rise = 1 - np.exp(-np.arange(1, 6))
    np.testing.assert_allclose(curve.values, 0.55 * rise)  # of the middle two
    expected = interquartile_mean({"any": [0.2, 0.5, 0.6, 5.0]})
    np.testing.assert_allclose(curve.low, expected.low * rise, rtol=0.05)
    np.testing.assert_allclose(curve.high, expected.high * rise, rtol=0.05)


def test_one_run_has_no_interval(tmp_path):
    curve = mean_curve(*group(tmp_path, [0.5]))
    assert curve.low is None
    assert curve.high is None


def test_points_that_not_all_runs_have_are_left_out(tmp_path):
    found = record(Cell("lab/arm-v0", "bc", 1), 0.5)
    del found["result"]["curve"][2:]
    write_record(tmp_path, found)
    assert mean_curve(*group(tmp_path, [0.5])).steps == (100, 200)


def test_densities_are_means_over_the_seeds(tmp_path):
    for seed, density in enumerate((0.2, 0.4)):
        found = record(Cell("lab/arm-v0", "bc", seed, "snip", 0.5), 0.5)
        layers = found["result"]["networks"]["actor"]["layer_densities"]
        layers["_fc.weight"] = density
        write_record(tmp_path, found)
    (task,) = find_tasks(read_runs(tmp_path))
    densities = task.groups[0].layer_densities
    assert densities["actor", "_fc.weight"] == pytest.approx(0.3)
    assert list(densities) == [("actor", name) for name in layers]
