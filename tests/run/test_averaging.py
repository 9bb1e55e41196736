"""The average of the weights that act: what it is, when it begins anew, what is left of it."""

import numpy as np
import pytest
import torch

from offline_prune import PruneResult, prune_then_train
from offline_prune.errors import InputError, OutputDirectoryError, UnknownNameError
from offline_prune.run.averaging import (
    NO_AVERAGING,
    Averaging,
    WeightAverage,
    acting_weights,
    load_acting_weights,
    make_averaging,
)
from tests.worlds import CASES, agent, dataset, params

VECTOR = "vector-continuous"


def run(kind, algo, **options):
    return prune_then_train(
        dataset(kind),
        algo,
        options.pop("sparsity", 0.8),
        **{"n_steps": 8, "n_batches": 1, "evaluate": 0, "progress": False, **options},
        algo_params=params(kind, algo),
    )


def averaged(kind, n_steps, mask_of=lambda step: "m"):
    """A weight that is its step number, averaged."""
    subject = agent(VECTOR, "bc").algo
    average = WeightAverage(subject, kind, n_steps)
    weight = next(iter(subject.impl.modules.imitator.parameters()))
    for step in range(1, n_steps + 1):
        with torch.no_grad():
            weight.fill_(step)
        average.after_step(mask_of(step), step)
    found = average.weights
    return None if found is None else float(next(iter(found.values())).flatten()[0])


def test_tail_is_the_mean_of_the_last_part():
    assert averaged(Averaging("tail", 0.5), 10) == pytest.approx(8.0)  # 6, 7, 8, 9, 10
    assert averaged(Averaging("tail", 1.0), 10) == pytest.approx(5.5)
    # Of 400 steps every fourth counts: 304, 308, …, 400.
    assert averaged(Averaging("tail", 0.25), 400) == pytest.approx(352.0)


def test_exponential_weighs_newer_ones_more():
    expected = 1.0
    for step in range(2, 11):
        expected += 0.1 * (step - expected)
    assert averaged(Averaging("exponential", 0.9), 10) == pytest.approx(expected)
    expected = 4.0  # of 400 steps every fourth counts, by what decays in four
    for step in range(8, 401, 4):
        expected += (1 - 0.9**4) * (step - expected)
    assert averaged(Averaging("exponential", 0.9), 400) == pytest.approx(expected)


def test_a_new_mask_begins_anew():
    assert averaged(Averaging("tail", 1.0), 10, lambda step: step > 8) == pytest.approx(9.5)


def test_none_is_none():
    assert averaged(NO_AVERAGING, 10) is None


def test_reading():
    assert make_averaging("none") == NO_AVERAGING
    assert make_averaging("tail") == make_averaging("tail(0.25)") == Averaging("tail", 0.25)
    assert make_averaging("exponential(.99)") == Averaging("exponential", 0.99)
    for text in ("none", "tail(0.25)", "exponential(0.99)"):
        assert str(make_averaging(text)) == text


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("tial", UnknownNameError, "tail"),
        ("tail(0)", InputError, r"\(0, 1\]"),
        ("tail(1.5)", InputError, r"\(0, 1\]"),
        ("exponential(1)", InputError, r"\(0, 1\)"),
        ("none(1)", InputError, "one number"),
        ("tail(0.5, 0.5)", InputError, "one number"),
        ("tail(half)", InputError, "finite number"),
        (0.5, InputError, "float"),
    ],
)
def test_refusals(text, error, said):
    with pytest.raises(error, match=said):
        make_averaging(text)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_training_does_not_notice_and_zeros_hold(kind, algo, tmp_path):
    plain, result = run(kind, algo, averaging="none"), run(kind, algo, averaging="tail(1)")
    assert plain.last is None
    last = acting_weights(plain.algo)
    assert last.keys() == result.last.weights.keys()
    for name, value in result.last.weights.items():
        assert torch.equal(value, last[name]), name
    acting = acting_weights(result.algo)
    assert any(not torch.equal(acting[name], last[name]) for name in last)
    for name, kept in result.mask.connected.items():
        if name in acting:
            assert not acting[name][~kept].any()
    result.save(tmp_path / "run")
    loaded = PruneResult.load(tmp_path / "run")
    assert acting_weights(loaded.algo).keys() == acting.keys()
    for name, value in acting_weights(loaded.algo).items():
        assert torch.equal(value, acting[name])
    for name, value in acting_weights(loaded.with_last_weights().algo).items():
        assert torch.equal(value, last[name])
    assert all(torch.equal(v, acting[n]) for n, v in acting_weights(loaded.algo).items())


def test_a_dense_run_is_stock_unless_asked():
    assert run(VECTOR, "bc", sparsity=0).settings.averaging == "none"
    assert run(VECTOR, "bc", sparsity=0, averaging="tail").last is not None
    assert run(VECTOR, "bc").settings.averaging == "tail"


def test_while_training_the_average_is_of_the_final_mask():
    result = run(VECTOR, "iql", method="gmp", averaging="tail(1)", n_steps=40)
    for name, value in acting_weights(result.algo).items():
        if name in result.mask.connected:
            assert not value[~result.mask.connected[name]].any()


@pytest.mark.slow
def test_last_weights_of_another_run_are_refused(tmp_path):
    run(VECTOR, "bc").save(tmp_path / "bc")
    run(VECTOR, "iql").save(tmp_path / "iql")
    (tmp_path / "bc" / "last.safetensors").write_bytes(
        (tmp_path / "iql" / "last.safetensors").read_bytes()
    )
    with pytest.raises(OutputDirectoryError, match="different runs"):
        PruneResult.load(tmp_path / "bc")


def test_summary_and_numbers_say_what_was_chosen():
    result = run(VECTOR, "bc")
    assert result.to_dict()["parameterization"] == "sparse(exponent=0.5)"
    assert "sparse(exponent=0.5) parameterization" in str(result.summary().caption)
    assert "averaged: tail" in str(result.summary().caption)


def test_written_weights_act():
    algo = agent(VECTOR, "iql").algo
    weights = acting_weights(algo)
    observations = np.zeros((2, 5), dtype=np.float32)
    before = algo.predict(observations)
    load_acting_weights(algo, {name: value + 1 for name, value in weights.items()})
    assert not np.array_equal(algo.predict(observations), before)
    load_acting_weights(algo, weights)
    assert np.array_equal(algo.predict(observations), before)
