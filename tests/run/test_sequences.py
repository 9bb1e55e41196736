"""A whole run of a sequence model: epochs, loggers, results, and what cannot be had."""

import json

import numpy as np
import pytest
import torch
from d3rlpy.algos import DecisionTransformerConfig
from d3rlpy.logging import FileAdapterFactory, NoopAdapterFactory
from d3rlpy.models import VectorEncoderFactory

from offline_prune import (
    EarlyStopping,
    PruneResult,
    prune,
    prune_and_shrink,
    prune_online,
    prune_then_train,
    score,
)
from offline_prune.acting.policy import acting_policy
from offline_prune.diagnostics import NetworkDiagnostics
from offline_prune.errors import AlgorithmError, InputError, UnsupportedExportError
from offline_prune.masks.allocation import kept_count
from tests.test_contract import assert_identical, state
from tests.worlds import SEQUENCES, actions, dataset, params

DT = SEQUENCES[0]


def run(case=DT, sparsity=0.8, n_steps=6, **options):
    kind, algo = case
    options = {"evaluate": 0, "n_batches": 1} | options
    return prune_then_train(dataset(kind), algo, sparsity, n_steps=n_steps, progress=False,
                            algo_params=params(kind, algo), **options)  # fmt: skip


@pytest.mark.parametrize("case", SEQUENCES)
def test_by_default_every_layer_keeps_something(case):
    """One threshold prunes all queries and keys, whose gradients begin near zero."""
    result = run(case, 0.9)
    assert result.settings.method == "snip"
    assert result.settings.allocation == "erk"
    assert result.settings.target_return == dataset(case[0]).metadata.best_return
    for name, kept in result.mask.nominal.items():
        assert kept.any(), name


@pytest.mark.parametrize("case", SEQUENCES)
def test_a_result_is_saved_and_read(case, tmp_path):
    result = run(case)
    found = PruneResult.load(result.save(tmp_path / "run"))
    assert found.mask == result.mask
    assert found.settings == result.settings
    assert_identical(state(found.algo), state(result.algo))
    np.testing.assert_array_equal(actions(found.algo, case[0]), actions(result.algo, case[0]))
    assert result.last is not None  # it acts by averaged weights
    last = result.with_last_weights().algo.impl.modules.transformer
    assert not torch.equal(last._output.weight, result.algo.impl.modules.transformer._output.weight)


def test_a_finished_model_trains_on_with_its_zeros():
    result = run()
    result.algo.fit(
        dataset(DT[0]).buffer, n_steps=3, n_steps_per_epoch=3, show_progress=False,
        logger_adapter=NoopAdapterFactory(),
    )  # fmt: skip
    weights = dict(result.algo.impl.modules.transformer.named_parameters())
    for name, kept in result.mask.nominal.items():
        assert not weights[name.removeprefix("transformer.")][~kept].any()


def test_epochs_are_told_in_the_order_of_q_learning(tmp_path):
    """Callback, evaluators, logger, saved model; the history has what the logger has."""
    seen = []

    def evaluator(algo, data):
        seen.append(("evaluator", algo.grad_step))
        return float(algo.grad_step)

    result = run(
        n_steps=6,
        n_steps_per_epoch=2,
        epoch_callback=lambda algo, epoch, step: seen.append((epoch, step)),
        evaluators={"steps": evaluator},
        logger_adapter=FileAdapterFactory(str(tmp_path)),
        experiment_name="run",
        with_timestamp=False,
        save_interval=2,
        averaging="none",
    )
    assert seen == [e for i in (1, 2, 3) for e in ((i, 2 * i), ("evaluator", 2 * i))]
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert [row["step"] for row in result.history] == [2, 4, 6]
    assert [row["steps"] for row in result.history] == [2.0, 4.0, 6.0]
    logged = (tmp_path / "run" / "loss.csv").read_text().splitlines()
    assert [float(line.split(",")[2]) for line in logged] == [r["loss"] for r in result.history]
    assert (tmp_path / "run" / "steps.csv").read_text().splitlines()[0] == "1,2,2.0"
    assert [path.name for path in tmp_path.glob("run/*.d3")] == ["model_4.d3"]
    assert (tmp_path / "run" / "params.json").exists()


def test_training_stops_early_with_a_whole_result():
    result = run(
        n_steps=20,
        n_steps_per_epoch=2,
        evaluators={"steps": lambda algo, _: float(algo.grad_step)},
        early_stopping=EarlyStopping("steps", patience=2),
    )
    assert result.settings.n_steps == 6
    assert len(result.history) == 3


@pytest.mark.parametrize("method", ["gmp", "set", "rigl"])
@pytest.mark.parametrize("case", SEQUENCES)
def test_masks_that_change_while_training(case, method):
    kind, algo = case
    subject, _ = prune(
        dataset(kind), algo, 0.8, method=method, n_steps=12, algo_params=params(kind, algo)
    )
    masks = []

    def check(algo, epoch, step):
        subject.callback(algo, epoch, step)
        masks.append(subject.method.mask)
        for name, weight in subject.engine.weights().items():
            assert not weight[~masks[-1].nominal[name]].any()

    subject.algo.fit(dataset(kind).buffer, n_steps=12, n_steps_per_epoch=12, callback=check,
                     show_progress=False, logger_adapter=NoopAdapterFactory())  # fmt: skip
    final = subject.finish()
    assert masks[0] != masks[-1]
    for network in subject.networks:
        assert final[network.role].n_kept == kept_count(network.n_weights, 0.8)


REFUSED = {
    "synflow": "is not known",
    "px": "is not known",
    "snip_flow": "is not known",
    "small_dense": "most weights",
    "gates": "cannot leave one by one",
    "structured": "cannot leave one by one",
    "pops": "cannot be the teacher",
}


@pytest.mark.parametrize("method", REFUSED)
@pytest.mark.parametrize("case", SEQUENCES)
def test_methods_that_follow_paths_or_units_are_refused_before_training(case, method):
    def fail(*_):
        raise AssertionError("it trained")

    with pytest.raises(AlgorithmError, match=REFUSED[method]):
        run(case, method=method, callback=fail)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diagnostics": True}, "diagnostics measure"),
        ({"logging_steps": 2}, "does not take logging_steps"),
        ({"feature_steps": 3}, "has none"),
        ({"target_return": float("nan")}, "target_return"),
        ({"target_return": "high"}, "target_return"),
    ],
)
def test_options_are_refused_before_anything_is_scored(options, message):
    def fail(*_):
        raise AssertionError("it trained")

    with pytest.raises(InputError, match=message):
        run(callback=fail, **options)


def test_a_target_return_for_others_is_refused():
    with pytest.raises(InputError, match="BC is none"):
        prune_then_train(dataset(DT[0]), "bc", 0.5, n_steps=2, target_return=3.0)


@pytest.mark.parametrize("suffix", [".onnx", ".pt", ".c"])
def test_exports_are_refused(suffix, tmp_path):
    result = run()
    with pytest.raises(UnsupportedExportError, match="acts by what it has seen"):
        result.export(tmp_path / f"policy{suffix}", np.zeros((1, 5), np.float32))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UnsupportedExportError):
        acting_policy(result.algo)


def test_teachers_diagnostics_and_online_training_are_refused():
    result = run()
    with pytest.raises(AlgorithmError, match="cannot be the teacher"):
        prune_and_shrink(result, dataset(DT[0]))
    with pytest.raises(AlgorithmError, match="Q-learning"):
        NetworkDiagnostics(dataset(DT[0])).evaluators(result.algo)
    with pytest.raises(AlgorithmError, match="Q-learning"):
        prune_online(None, DecisionTransformerConfig(), 0.5, n_steps=3)


def test_a_config_and_a_built_algorithm_are_taken():
    config = DecisionTransformerConfig(
        batch_size=8, encoder_factory=VectorEncoderFactory([8]), context_size=4
    )
    result = prune_then_train(
        dataset(DT[0]), config, 0.5, n_steps=2, evaluate=0, progress=False, seed=3
    )
    again = prune_then_train(
        dataset(DT[0]), result.algo, 0.7, n_steps=2, evaluate=0, progress=False
    )
    assert again.mask.sparsity == pytest.approx(0.7, abs=1e-3)


def test_double_precision_scores_as_single_does():
    kind, algo = DT
    chosen = params(kind, algo) | {"attn_dropout": 0.0, "resid_dropout": 0.0, "embed_dropout": 0.0}
    one, other = (
        score(dataset(kind), algo, 0.5, method="snip", n_batches=1, allocation="uniform",
              algo_params=chosen, float64=float64).scores["actor"]
        for float64 in (False, True)
    )  # fmt: skip
    for name, found in other.items():
        assert found.dtype == torch.float64
        torch.testing.assert_close(one[name].double(), found, rtol=1e-3, atol=1e-9)


@pytest.mark.slow
def test_the_command_line(run, tmp_path):
    code, printed, _ = run(
        "run", "pendulum/mixture-v0", "--algo", "decision_transformer", "--sparsity", ".9",
        "--steps", 4, "--episodes", 1, "--max-episode-steps", 5, "--target-return", "-200",
        "--param", "hidden_units=[16]", "--param", "batch_size=8", "--out", tmp_path / "run",
        "--quiet", "--json",
    )  # fmt: skip
    assert code == 0
    numbers = json.loads(printed)
    assert numbers["target_return"] == -200.0
    assert len(numbers["returns"]) == 1
