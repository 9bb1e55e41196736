"""Runs that end early have whole results; epochs of any number of steps."""

import numpy as np
import pytest

from offline_prune import EarlyStopping, PruneResult, StopTraining, prune_then_train
from offline_prune.agents import Agent
from offline_prune.errors import InputError, UnknownNameError
from tests.worlds import dataset, params

KIND = "vector-continuous"


def run(n_steps, **options):
    return prune_then_train(dataset(KIND), "bc", 0.8, n_steps=n_steps, evaluate=0, progress=False,
                            algo_params=params(KIND, "bc"), **options)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "options", "over"),
    [
        ([3, 2, 1], {}, False),
        ([3, 2, 2, 2], {"patience": 2}, True),
        ([3, 2, 2, 1.9], {"patience": 2}, False),
        ([3, 2, 1.9, 1.8], {"patience": 2, "min_change": 0.5}, True),
        ([1, 2, 3, 2.5], {"patience": 1, "mode": "max"}, True),
        ([1, 2, 3], {"patience": 1, "mode": "max"}, False),
        ([float("nan")] * 3, {"patience": 3}, True),
        ([], {"patience": 1}, False),
    ],
)
def test_patience_by_hand(values, options, over):
    assert EarlyStopping("loss", **options).is_over([{"loss": v} for v in values]) is over


@pytest.mark.parametrize(
    "wrong",
    [{"metric": 3}, {"metric": "loss", "patience": 0}, {"metric": "loss", "mode": "up"},
     {"metric": "loss", "min_change": -1}],
)  # fmt: skip
def test_wrong_arguments(wrong):
    with pytest.raises(InputError):
        EarlyStopping(**wrong)


def test_something_else_and_an_unknown_metric_are_refused():
    with pytest.raises(InputError, match="EarlyStopping"):
        run(10, early_stopping=3)
    with pytest.raises(UnknownNameError, match="loss"):
        run(10, early_stopping=EarlyStopping("los"))


def test_a_run_stops_on_an_evaluator_and_its_result_is_whole(tmp_path):
    worth = iter([1.0, 3.0, 2.0, 2.0, 9.0, 9.0])
    result = run(
        60, n_steps_per_epoch=10, evaluators={"worth": lambda *_: next(worth)},
        early_stopping=EarlyStopping("worth", patience=2, mode="max"), output_dir=tmp_path / "run"
    )  # fmt: skip
    assert [row["worth"] for row in result.history] == [1, 3, 2, 2]
    assert result.settings.n_steps == 40 == result.algo.grad_step
    loaded = PruneResult.load(tmp_path / "run")
    x = dataset(KIND).observations[:4]
    np.testing.assert_array_equal(loaded.algo.predict(x), result.algo.predict(x))


def test_a_callback_ends_a_run_in_the_middle_of_an_epoch():
    def stop(algo, epoch, step):
        if step == 25:
            raise StopTraining

    result = run(60, n_steps_per_epoch=10, callback=stop)
    assert result.settings.n_steps == 25
    assert len(result.history) == 2
    assert result.steps_per_second > 0
    weights = Agent.of(result.algo).weights
    assert not any(weights[n][~kept].any() for n, kept in result.mask.connected.items())


@pytest.mark.slow
@pytest.mark.parametrize(("n_steps", "rows"), [(1009, [1000, 1009]), (2003, [1000, 2000, 2003])])
def test_a_prime_number_of_steps_has_a_curve_too(n_steps, rows):
    counted = []
    result = run(n_steps, callback=lambda algo, epoch, step: counted.append(step))
    assert [row["step"] for row in result.history] == rows
    assert [row["epoch"] for row in result.history] == list(range(1, len(rows) + 1))
    assert counted == list(range(1, n_steps + 1))
    assert result.algo.grad_step == n_steps


@pytest.mark.slow
def test_a_prime_run_that_was_killed_ends_as_an_undisturbed_one(tmp_path):
    undisturbed = run(1009)

    class Killed(Exception):
        pass

    def kill(algo, epoch, step):
        if step == 1004:
            raise Killed

    with pytest.raises(Killed):
        run(1009, callback=kill, checkpoint_dir=tmp_path)
    steps = []
    resumed = run(
        1009, callback=lambda algo, epoch, step: steps.append(step), checkpoint_dir=tmp_path
    )
    assert steps == list(range(1001, 1010))
    x = dataset(KIND).observations[:4]
    np.testing.assert_array_equal(resumed.algo.predict(x), undisturbed.algo.predict(x))
    assert [row["step"] for row in resumed.history] == [1000, 1009]
