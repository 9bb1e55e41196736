from types import SimpleNamespace

import pytest

from offline_prune.diagnostics.training.evaluators import SharedMeasurement
from offline_prune.errors import UnknownNameError


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self, algo):
        self.calls += 1
        return {"a": float(self.calls), "b": 10.0 * self.calls}


def test_an_epoch_measures_once_and_the_next_one_again():
    counter = Counter()
    shared = SharedMeasurement(counter)
    algo = SimpleNamespace(impl=object(), grad_step=5)
    assert [shared.evaluate(name, algo, None) for name in "ab"] == [1.0, 10.0]
    assert [shared.evaluate(name, algo, None) for name in "ab"] == [2.0, 20.0]  # asked again
    assert shared.evaluate("b", algo, None) == 30.0
    algo.grad_step = 6  # "a" of the third measurement was never asked for
    assert shared.evaluate("a", algo, None) == 4.0
    assert counter.calls == 4


def test_another_algorithm_is_measured_for_itself():
    shared = SharedMeasurement(Counter())
    one, other = (SimpleNamespace(impl=object(), grad_step=0) for _ in range(2))
    assert shared.evaluate("a", one, None) == 1.0
    assert shared.evaluate("b", other, None) == 20.0


def test_a_name_that_is_not_measured():
    shared = SharedMeasurement(Counter())
    with pytest.raises(UnknownNameError, match="Known: a, b"):
        shared.evaluate("c", SimpleNamespace(impl=object(), grad_step=0), None)
