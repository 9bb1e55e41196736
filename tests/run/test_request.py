"""Names and numbers are checked first: before a dataset is loaded, before features are trained."""

import dataclasses
import inspect
import re

import d3rlpy
import gymnasium
import numpy as np
import pytest

from offline_prune import (
    evaluate,
    load_dataset,
    prune,
    prune_and_shrink,
    prune_online,
    prune_then_train,
    score,
)
from offline_prune.agents import build_agent
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.methods import PruningSettings, make_method
from offline_prune.ofenet import OFENetTrainer
from offline_prune.run.choices import chosen_averaging, chosen_parameterization
from offline_prune.run.pruned_agent import hold
from offline_prune.study import plan, sweep
from offline_prune.study.checks import check_cells
from tests.hardening.time_limit import within
from tests.worlds import dataset

DATA = dataset("vector-continuous")
OFENET = {
    "batch_size": 16, "hidden_units": [24, 24], "encoder": "ofenet",
    "ofenet": {"n_layers": 2, "units": 4},
}  # fmt: skip
QUICK = {"n_steps": 2, "evaluate": 0, "progress": False, "n_batches": 1}
FOREVER = 10**9
NOWHERE = "nowhere/none-v0"


@pytest.fixture(scope="module")
def cartpole():
    """A few random steps, as if of CartPole: there is an environment to evaluate in."""
    rng = np.random.default_rng(0)
    terminals = np.zeros(24, np.float32)
    terminals[5::6] = 1.0
    data = load_dataset(
        d3rlpy.dataset.MDPDataset(
            rng.normal(size=(24, 4)).astype(np.float32),
            np.arange(24).reshape(-1, 1) % 2,
            np.ones(24, np.float32),
            terminals,
        )
    )
    spec = gymnasium.spec("CartPole-v1")
    return dataclasses.replace(data, metadata=dataclasses.replace(data.metadata, env_spec=spec))


WRONG = [
    ("algo", "bcc", "algorithm 'bcc'"),
    ("algo", 3, "algo is"),
    ("algo_params", "x", "algo_params is"),
    ("sparsity", 95, "percentage"),
    ("sparsity", {"actor": 2}, "percentage"),
    ("method", "snipp", "method 'snipp'"),
    ("method", "shuffled(snipp)", "method 'snipp'"),
    ("method", "force(rounds=0)", "rounds"),
    ("method", "nowhere/mask", "mask"),
    ("method", 3, "method is"),
    ("allocation", "local", "allocation 'local'"),
    ("allocation", "flor(fan_in=4)", "allocation 'flor'.* 'floor'"),
    ("allocation", "floor(fan_in=0)", "fan_in of a floor"),
    ("allocation", "floor(density=2)", "density of a floor"),
    ("allocation", "constant_fan_in(layers=local)", "layers of constant_fan_in 'local'"),
    ("structure", "unit", "structure 'unit'.* 'units'"),
    ("structure", "4:2", "fewer than all"),
    ("n_steps", 0, "n_steps"),
    ("batch_size", 0, "batch_size"),
    ("n_batches", 0, "n_batches"),
    ("average", "median", "average 'median'"),
    ("float64", "no", "float64"),
    ("refill", "no", "refill"),
    ("rescale", "no", "rescale"),
    ("parameterization", "spares", "parameterization 'spares'.* 'sparse'"),
    ("parameterization", "sparse(cap=0)", "cap of a parameterization"),
    ("averaging", "tial", "averaging 'tial'.* 'tail'"),
    ("averaging", "tail(2)", "The number of tail"),
    ("share_critics", "no", "share_critics"),
    ("seed", -1, "seed is a whole number"),
    ("engine", "warp", "engine 'warp'"),
    ("device", "warp", "device 'warp'"),
]


CALLS = [
    (call, *case)
    for call in (prune_then_train, prune, score)
    for case in WRONG
    if case[0] in inspect.signature(call).parameters
]


@pytest.mark.parametrize(("call", "name", "value", "message"), CALLS)
def test_what_is_wrong_in_itself_is_told_before_the_dataset_is_looked_for(
    call, name, value, message
):
    with pytest.raises(InputError, match=message):
        call(NOWHERE, **{"algo": "bc", "sparsity": 0.5, name: value})


@pytest.mark.parametrize(
    ("method", "trained", "parameterization", "averaging"),
    [
        ("snip", False, "sparse", "tail"),
        ("shuffled(grasp)", False, "sparse", "tail"),
        ("small_dense", False, "sparse", "tail"),
        ("snip", True, "standard", "tail"),  # trained weights are not to be scaled
        ("rescaled(snip)", False, "standard", "tail"),
        ("shuffled(rescaled(snip))", False, "standard", "tail"),
        ("gmp", False, "standard", "none"),
        ("gates", False, "standard", "none"),
        ("pops", False, "standard", "none"),
    ],
)
def test_what_is_chosen_unasked(method, trained, parameterization, averaging):
    made = make_method(method, PruningSettings({"actor": 0.5}))
    assert chosen_parameterization(None, made, trained=trained) == parameterization
    assert chosen_averaging(None, made) == averaging
    assert chosen_averaging(None, made, dense=True) == "none"


def test_what_is_asked_for_is_chosen():
    made = make_method("gmp", PruningSettings({"actor": 0.5}))
    assert chosen_parameterization("sparse(cap=2)", made) == "sparse(cap=2)"
    assert chosen_averaging("exponential", made, dense=True) == "exponential"


def test_weights_are_not_scaled_twice():
    with pytest.raises(InputError, match="Ask for one of them"):
        prune_then_train(NOWHERE, "bc", 0.5, rescale=True, parameterization="sparse")
    with pytest.raises(InputError, match="Ask for one of them"):
        prune(NOWHERE, "bc", 0.5, method="rescaled(snip)", parameterization="sparse")
    made = make_method("rescaled(snip)", PruningSettings({"actor": 0.5}))
    assert chosen_parameterization("sparse(initial=0)", made) == "sparse(initial=0)"


def test_an_average_of_an_agent_that_is_replaced_is_refused():
    with pytest.raises(InputError, match="nothing would be left"):
        prune_then_train(NOWHERE, "bc", 0.5, method="pops", averaging="tail")


def test_a_built_algorithm_keeps_its_weights():
    algo = d3rlpy.algos.BCConfig(batch_size=16).create()
    algo.create_impl((5,), 2)
    result = prune_then_train(DATA, algo, 0.5, method="magnitude", **QUICK)
    assert result.settings.parameterization == "standard"
    for fresh in (algo.config, algo.config.create()):
        result = prune_then_train(DATA, fresh, 0.5, method="magnitude", **QUICK)
        assert result.settings.parameterization == "sparse(exponent=0.5)"
    agent, _ = prune(DATA, algo.config.create(), 0.5, method="magnitude", n_batches=1)
    assert agent.parameterization.initial


AXES = {"algo": "algos", "method": "methods", "sparsity": "sparsities", "seed": "seeds"}
# A study makes a text of a number, and has hyperparameters of each algorithm.
OF_CELLS = [case for case in WRONG if case[1] != 3 and case[0] != "algo_params"]


@pytest.mark.parametrize(("name", "value", "message"), OF_CELLS)
def test_a_study_is_told_of_its_last_cell_before_the_first_dataset(name, value, message):
    changed = {AXES[name]: [value]} if name in AXES else {name: value}
    grid = {"algos": "bc", "sparsities": 0.5, "methods": "snip", "seeds": 1, **changed}
    with pytest.raises(InputError, match=message):
        check_cells([*plan(NOWHERE, "bc", 0.5, "snip", 1), *plan(NOWHERE, **grid)])


@pytest.mark.parametrize(
    ("name", "value"),
    [("engine", "warp"), ("method", "gmpp"), ("allocation", "local"), ("allocation", "floor("),
     ("share_critics", "aye"),
     ("device", "warp"), ("sparsity", 95)],
)  # fmt: skip
def test_online_they_are_told_before_the_environment(name, value):
    options = {"sparsity": 0.5, "n_steps": 10, name: value}
    with pytest.raises(InputError, match=re.escape(str(value))):
        prune_online(object(), d3rlpy.algos.DQNConfig(), **options)


# --- Before features are trained: forever, if they were ----------------------------------------


def test_hold_checks_the_engine_before_it_trains_features(monkeypatch):
    agent = build_agent(DATA, "iql", algo_params=OFENET).agent
    method = make_method("snip", PruningSettings(dict.fromkeys(agent.roles, 0.5)))
    with pytest.raises(InputError, match="engine 'warp'"), within(60):
        hold(agent, DATA, method, "warp", feature_steps=FOREVER)
    monkeypatch.setattr("offline_prune.engines.compact.kernels_available", lambda: False)
    with pytest.raises(InputError, match="numba"), within(60):
        hold(agent, DATA, method, "sparse", feature_steps=FOREVER)


def other_mask():
    return prune(DATA, "bc", 0.5, algo_params={"hidden_units": [4]}, n_batches=1)[1]


LATE = {
    "engine": ({"engine": "warp"}, "engine"),
    "synflow": ({"method": "synflow"}, "SynFlow follows"),
    "px": ({"method": "px"}, "PX follows"),
    "other dataset": ({"method": f"corrupted(snip, dataset='{NOWHERE}')"}, "dataset"),
    "data of another shape": (
        {"method": "rescaled(corrupted(snip, dataset='cartpole/mixture-v0'))"}, "stand in",
    ),
    "mask of another agent": ({"method": other_mask}, "other networks"),
    "evaluator": ({"evaluators": {"x": 1}}, "evaluators"),
    "evaluators": ({"evaluators": np.array([1, 2])}, "evaluators"),
    "logger": ({"logger_adapter": 3}, "logger_adapter"),
    "logger's class": (
        {"logger_adapter": d3rlpy.logging.FileAdapterFactory}, "logger_adapter",
    ),
    "save interval": (
        {"save_interval": 0, "logger_adapter": d3rlpy.logging.NoopAdapterFactory()},
        "save_interval",
    ),
    "experiment": (
        {"experiment_name": 3, "logger_adapter": d3rlpy.logging.NoopAdapterFactory()},
        "experiment_name",
    ),
    "checkpoints": ({"checkpoint_dir": __file__}, "checkpoint_dir"),
    "no path": ({"checkpoint_dir": "a\0b"}, "checkpoint_dir"),
    "number of checkpoints": ({"checkpoint_dir": 3}, "checkpoint_dir"),
    "n_batches": ({"n_batches": 10**15}, r"n_batches=1000000000000000 would take .* GiB"),
    "batch_size": ({"batch_size": 10**15}, r"batch_size=1000000000000000 would take .* GiB"),
    "digits": ({"n_batches": 10**5_000}, "n_batches=a number of thousands of digits"),
    "digits of the seed": ({"seed": 10**5_000}, "seed"),
}  # fmt: skip


@pytest.mark.parametrize("case", LATE)
def test_nothing_is_trained_before_it_is_told(case):
    changed, message = LATE[case]
    changed = {name: value() if value is other_mask else value for name, value in changed.items()}
    options = {"algo_params": OFENET, "feature_steps": FOREVER, **QUICK, **changed}
    with pytest.raises(InputError, match=message), within(60):
        prune_then_train(DATA, "iql", 0.5, **options)


def test_densities_are_added_up_before_features_are_trained():
    agent = build_agent(DATA, "iql", algo_params=OFENET).agent
    densities = dict.fromkeys(agent.weights, 0.25)
    options = {"algo_params": OFENET, "allocation": densities, **QUICK}
    with pytest.raises(InputError, match=r"amount to sparsity 0\.75"), within(60):
        prune_then_train(DATA, "iql", 0.5, feature_steps=FOREVER, **options)
    del densities["policy._mu.weight"]
    with pytest.raises(InputError, match=r"policy\._mu"), within(60):
        prune_then_train(DATA, "iql", 0.75, feature_steps=FOREVER, **options)
    densities["policy._mu.weight"] = 0.25
    assert prune_then_train(DATA, "iql", 0.75, **options).mask.sparsity == pytest.approx(0.75, 1e-2)


def test_a_gate_is_refused_before_the_teacher_is_evaluated_or_trained(cartpole):
    class Untouched(Exception):
        pass

    def touched(*args):
        raise Untouched

    options = {"gate": "agreement", "lower_bound": 0.99, "progress": False}
    teacher = prune_then_train(cartpole, "bc", 0.0, algo_params={"hidden_units": [4]}, **QUICK).algo
    teacher.predict = touched  # what an evaluation calls
    with pytest.raises(InputError, match="lower bound not above"):
        prune_and_shrink(teacher, cartpole, evaluate=1, **options)
    with pytest.raises(InputError, match="lower bound not above"):
        prune_then_train(
            cartpole, "bc", 0.5, method="pops(gate=agreement, lower_bound=.99)", callback=touched,
            **{**QUICK, "algo_params": {"hidden_units": [4]}},
        )  # fmt: skip


# --- Without effect ------------------------------------------------------------------------------


def test_features_that_are_not_there_cannot_be_trained(tmp_path):
    with pytest.raises(InputError, match=r"feature_steps=5 .*'encoder': 'ofenet'"):
        prune_then_train(DATA, "bc", 0.5, feature_steps=5, **QUICK)
    with pytest.raises(InputError, match=r"feature_steps=\{'iql': 1000\}"):
        sweep("pendulum/mixture-v0", "bc", 0.5, "snip", 1, feature_steps=5, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_study_trains_features_where_there_are_any(tmp_path):
    result = sweep(
        "pendulum/mixture-v0", ["bc", "iql"], 0.5, "random", 1, out=tmp_path / "out",
        algo_params={"iql": OFENET, "bc": {"hidden_units": [4]}}, feature_steps={"iql": 3},
        share_critics=True, average="scores", n_steps=2, evaluate=0, progress=False,
    )  # fmt: skip
    assert [(r["status"], r["algo"], r["feature_steps"]) for r in result.rows] == [
        ("ok", "bc", 0), ("ok", "iql", 3),
    ]  # fmt: skip


def test_features_that_somebody_else_trains():
    agent = build_agent(DATA, "iql", algo_params=OFENET).agent
    OFENetTrainer(agent.algo, DATA)
    with pytest.raises(InputError, match=r"pretrain\(5\)"):
        prune_then_train(DATA, agent.algo, 0.5, feature_steps=5, **QUICK)
    prune_then_train(DATA, agent.algo, 0.5, **QUICK)


@pytest.mark.slow
def test_an_algorithm_is_not_moved():
    config = d3rlpy.algos.IQLConfig(batch_size=16)
    made, built = config.create(), config.create()
    built.build_with_dataset(DATA.buffer)
    for algo in (made, built):
        with pytest.raises(InputError, match=r"made on 'cpu:0'"):
            prune(DATA, algo, 0.5, device="cpu:1")
    environment = gymnasium.make("CartPole-v1")
    online = d3rlpy.algos.DQNConfig().create()
    with pytest.raises(InputError, match=r"made on 'cpu:0'"):
        prune_online(environment, online, 0.5, n_steps=10, device="cpu:1")
    for device in ("cpu", "cpu:0"):
        prune(DATA, built, 0.5, device=device)


@pytest.mark.parametrize("name", ["experiment_name", "with_timestamp", "save_interval"])
def test_files_that_no_logger_would_write(name):
    value = {"experiment_name": "mine", "with_timestamp": True, "save_interval": 1}[name]
    with pytest.raises(InputError, match=f"{name} .* pass logger_adapter"):
        prune_then_train(DATA, "bc", 0.5, **QUICK, **{name: value})
    logger = d3rlpy.logging.NoopAdapterFactory()
    options = {name: value, "logger_adapter": logger, "algo_params": {"hidden_units": [4]}}
    prune_then_train(DATA, "bc", 0.5, **QUICK, **options)


def test_a_given_mask_is_not_refilled():
    options = {"algo_params": {"hidden_units": [4]}, "n_batches": 1}
    mask = score(DATA, "bc", 0.5, **options).mask
    with pytest.raises(InputError, match="refill"):
        prune(DATA, "bc", 0.5, method=mask, refill=True, **options)
    assert prune(DATA, "bc", 0.5, method=mask, **options)[1] == mask


ENCODERS = [
    ("pixel-discrete", {"hidden_units": [8], "encoder": "impala"}, "hidden_units"),
    ("pixel-discrete", {"encoder": "impala", "hidden_units": [8]}, "hidden_units"),
    ("vector-discrete", {"hidden_units": [8], "encoder": "ofent"}, "Did you mean 'ofenet'"),
    ("vector-discrete", {"ofenet": {"units": 4}}, "encoder='ofenet'"),
    ("vector-discrete", {"encoder": "ofenet", "encoder_width": 4}, "encoder_width"),
]


@pytest.mark.parametrize(("kind", "given", "message"), ENCODERS)
def test_encoders_that_would_not_be_as_asked(kind, given, message):
    with pytest.raises(InputError, match=message):
        build_agent(dataset(kind), "cql", algo_params=given)


# --- More than there is memory -------------------------------------------------------------------

BEYOND = 10**14  # units whose weights no processor can address


def test_networks_beyond_memory():
    wide = {"algo_params": {"hidden_units": [BEYOND]}}
    with pytest.raises(AlgorithmError, match=r"do not fit into memory .*tried to allocate \d{16}"):
        prune_then_train(DATA, "bc", 0.5, **QUICK, **wide)
    encoder = d3rlpy.models.VectorEncoderFactory([BEYOND])
    environment = gymnasium.make("CartPole-v1")
    with pytest.raises(AlgorithmError, match=r"do not fit into memory .*tried to allocate \d{16}"):
        prune_online(
            environment, d3rlpy.algos.DQNConfig(encoder_factory=encoder), 0.5, n_steps=10
        )  # fmt: skip
    deep = {"encoder": "ofenet", "ofenet": {"n_layers": 1, "units": BEYOND}}
    with pytest.raises(AlgorithmError, match="do not fit into memory"):
        prune(DATA, "bc", 0.5, algo_params=deep)


def test_any_number_of_episodes_begins_at_once(cartpole):
    class Stopped(KeyboardInterrupt):
        pass

    class Policy:
        def predict(self, observations):
            raise Stopped

    with pytest.raises(Stopped), within(60):
        evaluate(Policy(), cartpole.metadata, FOREVER**2)
