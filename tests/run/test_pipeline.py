"""prune_then_train and prune, end to end."""

import d3rlpy
import numpy as np
import pytest
import torch

from offline_prune import PruneResult, load_dataset, prune, prune_then_train, sweep
from offline_prune.base import versions
from offline_prune.errors import (
    AlgorithmError,
    EmptyNetworkError,
    InputError,
    NonFiniteError,
    OutputDirectoryError,
    SparsityError,
    UnknownNameError,
)
from offline_prune.masks import kept_count
from offline_prune.masks.collapse import LayerCollapseWarning
from offline_prune.study.cell import Cell
from offline_prune.study.run import failure
from tests.worlds import dataset, params, source

QUICK = {"n_steps": 4, "evaluate": 0, "progress": False}


@pytest.mark.slow
def test_end_to_end_on_a_real_dataset(tmp_path):
    result = prune_then_train(
        "pendulum/mixture-v0",
        "bc",
        0.95,
        n_steps=1500,
        batch_size=128,
        evaluate=10,
        output_dir=tmp_path / "run",
        progress=False,
    )
    data = load_dataset("pendulum/mixture-v0")
    assert result.mask.sparsity == pytest.approx(0.95, abs=1e-4)
    assert result.mask.effective_sparsity >= result.mask.sparsity
    # BC on a mixture does better than its mean; a broken policy scores near 0.
    assert result.evaluation.mean_return > data.metadata.mean_return
    assert len(result.evaluation.returns) == 10
    numbers = result.to_dict()
    for name in ("n_steps", "steps_per_second", "scoring_seconds", "sparsity"):
        assert numbers[name] > 0
    assert numbers["mean_return"] == result.evaluation.mean_return
    assert numbers["dataset"] == "pendulum/mixture-v0"
    assert len(result.history) > 1
    assert result.history[-1]["step"] == 1500
    assert result.history[-1]["loss"] < result.history[0]["loss"]

    loaded = PruneResult.load(tmp_path / "run")
    assert loaded.to_dict() == numbers
    assert loaded.mask == result.mask
    assert loaded.evaluation == result.evaluation
    x = data.observations[:50]
    np.testing.assert_array_equal(loaded.algo.predict(x), result.algo.predict(x))


@pytest.mark.slow
def test_a_run_on_d3rlpys_own_transitions():
    data = load_dataset("pendulum/mixture-v0").with_semantics("d3rlpy")
    assert data.buffer.transition_count == len(data) - data.metadata.episodes
    result = prune_then_train(data, "bc", 0.9, **QUICK)
    assert result.mask.sparsity == pytest.approx(0.9, abs=1e-3)


@pytest.mark.slow
def test_a_mapping_prunes_only_the_networks_it_names():
    result = prune_then_train(
        dataset("vector-continuous"), "iql", {"actor": 0.9, "critic": 0.5}, **QUICK
    )
    assert result.mask["actor"].sparsity == pytest.approx(0.9, abs=1e-3)
    assert result.mask["critic[1]"].sparsity == pytest.approx(0.5, abs=1e-3)
    assert result.mask["value"].sparsity == 0


@pytest.mark.slow
def test_critics_can_share_a_threshold():
    apart = prune(dataset("vector-continuous"), "iql", 0.9)[1]
    shared = prune(dataset("vector-continuous"), "iql", 0.9, share_critics=True)[1]
    assert apart["critic[0]"].n_kept == apart["critic[1]"].n_kept
    assert shared["critic[0]"].n_kept != shared["critic[1]"].n_kept
    assert shared["critic"].n_kept == kept_count(shared["critic"].n_weights, 0.9)
    assert shared["actor"] == apart["actor"]
    with pytest.raises(SparsityError, match="share one threshold"):
        prune(
            dataset("vector-continuous"),
            "iql",
            {"critic[0]": 0.9, "critic[1]": 0.5},
            share_critics=True,
        )


@pytest.mark.slow
@pytest.mark.parametrize("share_critics", [False, True])
@pytest.mark.parametrize("case", [("vector-continuous", "iql"), ("pixel-discrete", "cql")])
@pytest.mark.parametrize(
    "allocation", ["uniform", "erk", "floor(fan_in=1)", "constant_fan_in", "floor(density=0.05)"]
)
def test_allocations(allocation, case, share_critics):
    options = {"allocation": allocation, "share_critics": share_critics, "n_batches": 1}
    mask = prune(dataset(case[0]), case[1], 0.9, algo_params=params(*case), **options)[1]
    assert mask.sparsity == pytest.approx(0.9, abs=1e-3)
    assert not mask.empty_layers
    for kept in mask.nominal.values():
        counts = kept.flatten(1).sum(dim=1)
        if allocation == "constant_fan_in":
            assert counts.max() - counts.min() <= 1
        if allocation == "floor(fan_in=1)":
            assert kept.sum() >= len(kept)
        if allocation == "floor(density=0.05)":
            assert kept.sum() >= 0.05 * kept.numel()


@pytest.mark.slow
def test_a_d3rlpy_config_and_a_built_algorithm_may_be_passed():
    config = d3rlpy.algos.IQLConfig(batch_size=16, weight_temp=7.0)
    result = prune_then_train(dataset("vector-continuous"), config, 0.9, **QUICK)
    assert result.algo.config.weight_temp == 7.0
    built = config.create()
    built.build_with_dataset(source("vector-continuous"))
    first = built.impl.modules.policy._encoder._layers[0].weight
    before = first.detach().clone()
    agent, mask = prune(dataset("vector-continuous"), built, 0.9)
    assert agent.algo is built
    kept = mask.connected["policy._encoder._layers.0.weight"]
    assert torch.equal(first[kept], before[kept])  # it went on from its own weights


@pytest.mark.slow
def test_hyperparameters_of_a_config_can_be_replaced():
    config = d3rlpy.algos.IQLConfig(batch_size=16, weight_temp=7.0)
    result = prune_then_train(
        dataset("vector-continuous"), config, 0.5, algo_params={"expectile": 0.8}, **QUICK
    )
    assert (result.algo.config.expectile, result.algo.config.weight_temp) == (0.8, 7.0)
    assert config.expectile != 0.8


@pytest.mark.slow
def test_options_of_fit_pass_through():
    steps, epochs, scores = [], [], []

    def evaluator(algo, data):
        scores.append(data.transition_count)
        return 1.5

    result = prune_then_train(
        dataset("vector-continuous"),
        "bc",
        0.9,
        n_steps=6,
        n_steps_per_epoch=2,
        evaluate=0,
        progress=False,
        callback=lambda algo, epoch, step: steps.append((epoch, step)),
        epoch_callback=lambda algo, epoch, step: epochs.append(epoch),
        evaluators={"fixed": evaluator},
    )
    assert [step for _, step in steps] == [1, 2, 3, 4, 5, 6]
    assert epochs == [1, 2, 3]
    assert scores == [96, 96, 96]
    assert [row["fixed"] for row in result.history] == [1.5, 1.5, 1.5]
    assert [row["step"] for row in result.history] == [2, 4, 6]


@pytest.mark.slow
def test_networks_are_measured_while_they_train_if_asked():
    def run(**options):
        return prune_then_train(
            "pendulum/mixture-v0",
            "bc",
            0.8,
            method="gmp",
            n_steps=500,
            evaluate=0,
            progress=False,
            **options,
        )

    plain = run()
    measured = run(diagnostics=True, evaluators={"mine": lambda algo, dataset: 1.0})
    assert "sparsity_actor" not in plain.history[0]
    last = measured.history[-1]
    assert last["sparsity_actor"] == pytest.approx(measured.mask.effective_sparsity)
    assert last["mine"] == 1.0
    for ours, theirs in zip(
        measured.algo.impl.modules.imitator.parameters(),
        plain.algo.impl.modules.imitator.parameters(),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.slow
def test_any_number_of_steps_is_trained():
    """d3rlpy trains whole epochs only; 1 013 is prime."""
    seen = []
    prune_then_train(
        dataset("vector-continuous"),
        "bc",
        0.9,
        n_steps=1013,
        evaluate=0,
        progress=False,
        algo_params=params("vector-continuous", "bc"),
        callback=lambda algo, epoch, step: seen.append(step),
    )
    assert len(seen) == 1013


def test_collapse_is_reported_but_trains():
    with pytest.warns(LayerCollapseWarning, match="No path from input to output"):
        result = prune_then_train(
            dataset("vector-continuous"), "bc", 0.999, method="magnitude", **QUICK
        )
    assert result.mask.n_kept > 0
    assert result.mask.n_connected == 0
    assert result.mask.effective_sparsity == 1.0


WRONG = {
    "sparsity of 1": ({"sparsity": 1.0}, SparsityError, r"\[0, 1\)"),
    "negative sparsity": ({"sparsity": -0.5}, SparsityError, r"\[0, 1\)"),
    "percentage": ({"sparsity": 95}, SparsityError, "percentage"),
    "unknown role": ({"sparsity": {"actr": 0.5}}, UnknownNameError, "'actor'"),
    "role of another algorithm": ({"sparsity": {"value": 0.5}}, UnknownNameError, "actor"),
    "wrong sparsity of a role": ({"sparsity": {"actor": 2}}, SparsityError, "percentage"),
    "empty network": ({"sparsity": 0.999999}, EmptyNetworkError, "leaves actor empty"),
    "unknown algorithm": ({"algo": "bcc"}, UnknownNameError, "Did you mean 'bc"),
    "no discrete form": (
        {"dataset": dataset, "algo": "iql"},
        AlgorithmError,
        "no form for discrete",
    ),
    "unknown method": ({"method": "snipp"}, UnknownNameError, "'snip'"),
    "unknown allocation": ({"allocation": "local"}, UnknownNameError, "global"),
    "unknown engine": ({"engine": "warp"}, UnknownNameError, "masked"),
    "unknown option": ({"n_step_per_epoch": 2}, UnknownNameError, "n_steps_per_epoch"),
    "unknown hyperparameter": (
        {"algo_params": {"learning_rat": 1.0}},
        UnknownNameError,
        "'learning_rate'",
    ),
    "unknown scaler": (
        {"algo_params": {"observation_scaler": "standrd"}},
        UnknownNameError,
        "'standard'",
    ),
    "partial epoch": ({"n_steps_per_epoch": 3}, InputError, "train 3 steps"),
    "log beyond the epoch": (
        {"logging_strategy": d3rlpy.LoggingStrategy.STEPS},
        InputError,
        "logging_steps of 4 or less",
    ),
    "role that is no name": ({"sparsity": {0: 0.5}}, UnknownNameError, "'0'"),
    "no steps": ({"n_steps": 0}, InputError, "n_steps"),
    "no batch": ({"batch_size": 0}, InputError, "batch_size"),
    "no scoring batches": ({"n_batches": 0}, InputError, "n_batches"),
    "negative episodes": ({"evaluate": -1}, InputError, "episodes"),
    "negative seed": ({"seed": -1}, InputError, "seed"),
    "unknown device": ({"device": "warp"}, InputError, "warp"),
    "no dataset": ({"dataset": 3}, InputError, "int"),
    "no algorithm": ({"algo": 3}, AlgorithmError, "int"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_named_before_anything_is_trained(case, tmp_path, monkeypatch):
    changed, error, message = WRONG[case]

    def no_training(*args, **kwargs):
        pytest.fail("it trained")

    monkeypatch.setattr("d3rlpy.algos.QLearningAlgoBase.update", no_training)
    arguments = {
        "dataset": dataset("vector-continuous"),
        "algo": "bc",
        "sparsity": 0.9,
        "n_steps": 4,
        "output_dir": tmp_path / "out",
        **changed,
    }
    if arguments["dataset"] is dataset:
        arguments["dataset"] = dataset("vector-discrete")
    with pytest.raises(error, match=message):
        prune_then_train(**arguments)
    assert not (tmp_path / "out").exists()


def test_an_algorithm_for_other_actions_is_refused():
    config = d3rlpy.algos.DiscreteCQLConfig()
    with pytest.raises(AlgorithmError, match="discrete actions"):
        prune_then_train(dataset("vector-continuous"), config, 0.5, **QUICK)


def test_an_algorithm_built_for_other_shapes_is_refused():
    built = d3rlpy.algos.IQLConfig().create()
    built.create_impl((9,), 2)
    with pytest.raises(AlgorithmError, match=r"\(9,\)"):
        prune_then_train(dataset("vector-continuous"), built, 0.5, **QUICK)


@pytest.mark.slow
def test_the_output_directory_of_another_run_is_not_touched(tmp_path):
    out = tmp_path / "run"
    prune_then_train(dataset("vector-continuous"), "bc", 0.5, output_dir=out, **QUICK)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(OutputDirectoryError, match="holds a result"):
        prune_then_train(dataset("vector-continuous"), "bc", 0.9, output_dir=out, **QUICK)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_non_finite_loss_is_named_before_training():
    config = d3rlpy.algos.IQLConfig(
        batch_size=16, reward_scaler=d3rlpy.preprocessing.MultiplyRewardScaler(1e38)
    )
    with pytest.raises(NonFiniteError, match="critic"):
        prune_then_train(dataset("vector-continuous"), config, 0.5, **QUICK)


def test_divergence_is_named_with_its_step():
    with pytest.raises(NonFiniteError, match=r"actor .* step 2"):
        prune_then_train(
            dataset("vector-continuous"),
            "bc",
            0.5,
            n_steps=6,
            n_steps_per_epoch=2,
            evaluate=0,
            progress=False,
            algo_params={"learning_rate": 1e25},
        )


@pytest.mark.slow
def test_nothing_is_written_or_printed_unless_asked(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    prune_then_train(dataset("vector-continuous"), "bc", 0.9, **QUICK)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_actions_beyond_one_are_scaled_by_the_space():
    result = prune_then_train("pendulum/mixture-v0", "bc", 0.5, **QUICK)
    scaler = result.algo.action_scaler
    assert (scaler.minimum.tolist(), scaler.maximum.tolist()) == ([-2.0], [2.0])


def test_a_package_that_is_on_the_path_but_not_installed_loses_nothing(monkeypatch, tmp_path):
    known = versions.version

    def version(name):
        if name == "offline-prune":
            raise versions.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(versions, "version", version)
    kind, algo = "vector-continuous", "bc"
    result = prune_then_train(dataset(kind), algo, 0.8, algo_params=params(kind, algo),
                              checkpoint_dir=tmp_path, **QUICK)  # fmt: skip
    assert result.settings.versions["offline-prune"] == "not installed"
    assert result.settings.versions["d3rlpy"] == known("d3rlpy")
    record = failure(Cell("lab/arm-v0", "bc"), "killed")
    assert record["versions"]["offline-prune"] == "not installed"


@pytest.mark.slow
def test_episodes_are_cut_where_asked(tmp_path):
    asked = {"max_episode_steps": 7, "evaluate": 2, "n_steps": 4, "progress": False}
    result = prune_then_train("pendulum/mixture-v0", "bc", 0.5, method="random", **asked)
    assert result.evaluation.cut == result.last.evaluation.cut == 2
    assert result.settings.max_episode_steps == 7
    grid = {"n_steps": 4, "evaluate": 1, "evaluations": 2, "max_episode_steps": 7}
    row = sweep("pendulum/mixture-v0", "bc", 0.5, "random", 1, out=tmp_path / "out",
                progress=False, **grid).rows[0]  # fmt: skip
    assert -7 * 16.3 < row["mean_return"] < 0  # at most 16.3 a step; whole episodes have 200
    assert -7 * 16.3 < row["final_window_mean_return"] < 0
