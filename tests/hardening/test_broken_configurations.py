"""Every wrong argument works or is refused by name, before anything is trained."""

import contextlib
import inspect
import io
import json
import sys

import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.algos import DQNConfig
from hypothesis import given
from hypothesis import strategies as st

from offline_prune import (
    Mask,
    PruneResult,
    evaluate,
    load_dataset,
    prune,
    prune_online,
    prune_then_train,
    score,
)
from offline_prune.cli import main
from offline_prune.errors import InputError, NonFiniteError, OfflinePruneError
from offline_prune.export import export_policy
from offline_prune.masks.allocation import ALLOCATIONS
from offline_prune.methods import METHODS, MODIFIERS, PruningSettings, make_method
from offline_prune.recipes.algorithms import algorithm_recipes
from tests.figures import FIGURES
from tests.hardening.cases import cases
from tests.hardening.time_limit import within
from tests.worlds import dataset

DATA = dataset("vector-continuous")
QUICK = {"n_steps": 2, "evaluate": 0, "progress": False, "n_batches": 1}
TINY = {"hidden_units": [4], "batch_size": 4}
BEYOND_MEMORY = 10**30
HUGE_TEXT = "x" * 5_000

#: Values that fit no argument, and some that fit a few.
ODD = st.one_of(
    st.sampled_from(
        [
            None, True, False, 0, 1, 2, -1, BEYOND_MEMORY, -(2**63), 0.5, -0.5, 1.0, 1.5, 1e308,
            float("nan"), float("inf"), float("-inf"), "", " ", "x", "0.5", "auto", "none",
            "\x00", "a\nb", "naïve ☃", "../..", "/", ".", "x(", HUGE_TEXT, [], [1], {}, {"x": 1},
            {"actor": 0.5}, {1: 2}, (), set(), b"bytes", object(), object, print, 1j,
            np.float32(0.5), np.float64(0.5), np.int64(1), np.int32(-1), np.bool_(True),
            np.float32("nan"), np.array(0.5), np.array([1, 2]), np.str_("snip"), torch.tensor(0.5),
            lambda *a, **k: None, slice(1), range(3), Ellipsis,
        ]
    ),
    st.text(max_size=8),
    st.floats(),
    st.integers(-3, 3),
)  # fmt: skip


class Steps:
    """d3rlpy's callback; counts gradient steps."""

    def __init__(self):
        self.count = 0

    def __call__(self, algo, epoch, step):
        self.count += 1


ARGUMENTS = (
    "algo", "sparsity", "method", "allocation", "n_steps", "batch_size", "n_batches", "average",
    "float64", "refill", "rescale", "structure", "seed", "engine", "evaluate", "algo_params",
    "share_critics", "device", "diagnostics", "feature_steps", "dataset", "progress",
    "keep_checkpoint",
)  # fmt: skip
#: Works asked for outright: as large as asked, so not tried with large numbers.
AMOUNTS = ("n_steps", "evaluate", "n_batches", "feature_steps", "batch_size")


def long_work(name, value):
    """Whether this asks for more than a test can wait for; what memory cannot hold ends at once."""
    ends = name in ("n_batches", "batch_size") and value is BEYOND_MEMORY
    return name in AMOUNTS and amount(value) and not ends


def amount(value):
    """Whether this is a proper request for an amount of work that takes long."""
    with contextlib.suppress(TypeError, ValueError):
        if value is None:
            return True  # the recipe's own
        return not isinstance(value, bool | complex | str) and float(value) > 100
    return False


def tried(function, *arguments, **options):
    """Call; what it returned, and the named error that it refused with."""
    with within():
        try:
            value = function(*arguments, **options)
        except OfflinePruneError as error:
            FIGURES["broken configurations: refused"] += 1
            return None, error
    FIGURES["broken configurations: worked"] += 1
    return value, None


SWITCHES = ("float64", "refill", "rescale", "share_critics", "diagnostics", "progress",
            "keep_checkpoint")  # fmt: skip
LEAST = {"n_steps": 1, "batch_size": 1, "n_batches": 1, "evaluate": 0, "feature_steps": 0,
         "seed": 0}  # fmt: skip
NAMES = {"engine": ("auto", "masked", "compact", "sparse"), "average": ("gradients", "scores"),
         "device": ("cpu", "cpu:0")}  # fmt: skip


def surely_wrong(name, value):
    """Whether nobody could mean this; written without a look at the package's checks."""
    if name in SWITCHES:
        return not isinstance(value, bool | np.bool_)
    if name in LEAST:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
        open_ = value is None and name in ("n_steps", "batch_size", "n_batches")
        return not open_ and not (whole and value >= LEAST[name])
    if name in NAMES:
        return not (isinstance(value, str) and value in NAMES[name])
    if name == "sparsity":
        single = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        return not isinstance(value, dict) and not (single and 0 <= value < 1)
    if name == "algo_params":
        return value is not None and not isinstance(value, dict)
    return name == "method" and not isinstance(value, str | type(None)) and not callable(value)


def attempt(function, steps, *arguments, **options):
    """Call; a named error may come only before the first gradient step, or of numbers."""
    value, error = tried(function, *arguments, **options)
    if error is not None:
        assert str(error)
        assert len(str(error)) < 20_000
        assert steps.count == 0 or isinstance(error, NonFiniteError)
    return value


@cases(400)
@given(name=st.sampled_from(ARGUMENTS), value=ODD)
def test_prune_then_train(name, value):
    if long_work(name, value):
        return
    steps = Steps()
    options = {
        "dataset": DATA, "algo": "bc", "sparsity": 0.5, **QUICK, "algo_params": TINY,
        "callback": steps, name: value,
    }  # fmt: skip
    result = attempt(prune_then_train, steps, **options)
    assert result is None or not surely_wrong(name, value)
    if result is not None:
        assert steps.count == result.settings.n_steps
        json.dumps(result.to_dict())  # numpy's scalars became Python's


@cases(120)
@given(name=st.sampled_from(ARGUMENTS), value=ODD, call=st.sampled_from([score, prune]))
def test_score_and_prune(name, value, call):
    if long_work(name, value):
        return
    options = {
        "dataset": DATA,
        "algo": "td3_plus_bc",
        "sparsity": 0.5,
        "n_batches": 1,
        "algo_params": TINY,
    }
    if name in inspect.signature(call).parameters:
        found = attempt(call, Steps(), **options | {name: value})
        assert found is None or not surely_wrong(name, value)
        if call is score and found is not None:
            json.dumps(found.to_dict())


FIELDS = sorted({name for r in algorithm_recipes().values() for name in r.hyperparameters})


@cases(250)
@given(
    name=st.sampled_from(
        [*FIELDS, "gamma", "tau", "n_critics", "encoder", "encoder_width", "ofenet", "simba",
         "critic_encoder", "value_encoder", "alpha",
         "observation_scaler", "reward_scaler", "action_scaler", "critic_learning_rate",
         "actor_hidden_units", "update_actor_interval", "adam_eps", "actor_optim_factory",
         "q_func_factory", "compile_graph", "batch_size", "hidden_units"]
    ),
    value=ODD,
    algo=st.sampled_from(["bc", "td3_plus_bc", "iql", "cql"]),
)  # fmt: skip
def test_hyperparameters(name, value, algo):
    if amount(value) and not name.endswith(("rate", "_eps", "alpha", "gamma", "tau")):
        return
    if name == "n_critics" and amount(value):
        return
    steps = Steps()
    params = TINY | ({"n_action_samples": 2} if algo == "cql" else {}) | {name: value}
    attempt(
        prune_then_train, steps, DATA, algo, 0.5, **QUICK, algo_params=params, callback=steps,
    )  # fmt: skip


@cases(80)
@given(
    name=st.sampled_from(
        ["n_steps_per_epoch", "logging_steps", "logging_strategy", "callback", "epoch_callback",
         "evaluators", "dataset_", "n_steps_", "", "logger_adapter", "experiment_name",
         "with_timestamp", "save_interval"]
    ),
    value=ODD,
)  # fmt: skip
def test_options_of_fit(name, value):
    if callable(value):
        return  # is called as asked for
    steps = Steps()
    attempt(
        prune_then_train, steps, DATA, "bc", 0.5, **QUICK, algo_params=TINY,
        **{"callback": steps, name: value},
    )  # fmt: skip


WORDS = st.sampled_from([*METHODS, *MODIFIERS, "snip", "x", "dense", "rewards", "__import__", ""])
NUMBERS = st.sampled_from(
    ["0", "1", "-1", "2.5", "1e999", "'x'", "None", "True", "nan", "[]", "()", "0x10", "1_0"]
)
OPTIONS = st.sampled_from(
    ["rounds", "begin", "end", "interval", "fraction", "what", "dataset", "x", "**x", "initial"]
)
EXPRESSIONS = st.recursive(
    st.one_of(WORDS, NUMBERS),
    lambda inner: st.builds(
        lambda name, arguments, options: (
            f"{name}({', '.join([*arguments, *(f'{k}={v}' for k, v in options)])})"
        ),
        WORDS,
        st.lists(inner, max_size=2),
        st.lists(st.tuples(OPTIONS, NUMBERS), max_size=2),
    ),
    max_leaves=4,
)


@cases(400)
@given(text=st.one_of(EXPRESSIONS, st.text(max_size=12), ODD))
def test_methods(text):
    _, error = tried(make_method, text, PruningSettings({"actor": 0.5}, n_steps=10))
    assert error is None or isinstance(error, InputError)


@pytest.mark.parametrize(
    "text",
    ["(" * 5_000, "snip(" * 500 + ")" * 500, "-".join(["a"] * 20_000), "\x00", "a" * 10**6,
     "__import__('os').system('true')", "snip if True else snip", "snip; snip", "lambda: 1",
     "force(rounds=9e99)", "corrupted(snip, dataset='\x00')"],
    ids=lambda text: text[:12].replace("\x00", "0"),
)  # fmt: skip
def test_methods_that_are_none(text):
    with pytest.raises(InputError) as error, within():
        make_method(text, PruningSettings({"actor": 0.5}, n_steps=10))
    assert len(str(error.value)) < 20_000


@cases(80)
@given(value=ODD, load=st.sampled_from([load_dataset, Mask.load, PruneResult.load]))
def test_loading(value, load):
    _, error = tried(load, value)
    assert error is None or isinstance(error, InputError)


@pytest.fixture(scope="module")
def result():
    return prune_then_train(DATA, "bc", 0.5, **QUICK, algo_params=TINY)


@cases(60)
@given(name=st.sampled_from(["algo", "metadata", "episodes", "seed"]), value=ODD)
def test_evaluate(name, value, result):
    if name == "episodes" and amount(value):
        return
    options = {"algo": result.algo, "metadata": DATA.metadata, "episodes": 1, name: value}
    attempt(evaluate, Steps(), **options)


@cases(60)
@given(name=st.sampled_from(["algo", "path", "observations", "dtype", "as_"]), value=ODD)
def test_export(name, value, result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    options = {
        "algo": result.algo, "path": folder / "a.pt", "observations": DATA.observations,
        name: value,
    }  # fmt: skip
    attempt(export_policy, Steps(), **options)
    assert not [p for p in folder.iterdir() if p.name != "a.pt"]


@cases(100)
@given(
    name=st.sampled_from(
        ["environment", "algo", "sparsity", "n_steps", "method", "dataset", "allocation", "seed",
         "engine", "share_critics", "device", "buffer"]
    ),
    value=ODD,
)  # fmt: skip
def test_prune_online(name, value):
    environment = gymnasium.make("CartPole-v1")
    options = {
        "environment": environment, "algo": DQNConfig(), "sparsity": 0.5, "n_steps": 10,
        name: value,
    }  # fmt: skip
    attempt(prune_online, Steps(), **options)
    environment.close()


@pytest.mark.parametrize("allocation", list(ALLOCATIONS))
def test_numpy_scalars_count_as_pythons(allocation):
    options = {"allocation": allocation}
    plain = prune_then_train(DATA, "bc", 0.3, **QUICK, **options, algo_params=TINY)
    same = prune_then_train(
        DATA, "bc", np.float32(0.3), **options, n_steps=np.int64(2), batch_size=np.int32(4),
        n_batches=np.uint8(1), seed=np.int64(0), evaluate=np.int16(0), feature_steps=np.int64(0),
        float64=np.bool_(False), progress=False,
        algo_params={"hidden_units": np.array([4]), "learning_rate": np.float64(1e-3)},
    )  # fmt: skip
    assert same.mask.n_kept == plain.mask.n_kept
    json.dumps(same.to_dict())
    assert same.settings.seed == 0
    assert type(same.settings.seed) is int


# --- The command line ---------------------------------------------------------------------


def command(*arguments):
    """Exit code, and what was printed to stderr."""
    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, ["offline-prune", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), within():
            main()
    except SystemExit as stop:
        return stop.code, err.getvalue()
    finally:
        sys.argv = argv
    return 0, err.getvalue()


RUN = {"--algo": "bc", "--sparsity": ".5", "--steps": "2", "--episodes": "0", "--batches": "1"}
TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "x", "-1", "0", "1", "1.5", "nan", "inf", "1e999", "9" * 5_000, "a=b=c", "=",
         "actor=", "=.5", "actor=.5,", ",", "[", "[" * 10_000, "../..", "naïve ☃", "{}", "null",
         "actor=nan", "[red]x[/red]", "[/]", "\\", "a\nb", "hidden_units=[" + "9" * 5_000 + "]",
         "hidden_units=" + "[" * 10_000, "learning_rate=x", "gamma=NaN"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6),
)  # fmt: skip


@cases(90)
@given(
    option=st.sampled_from(
        ["--algo", "--sparsity", "--method", "--allocation", "--steps", "--batch-size",
         "--batches", "--average", "--seed", "--engine", "--episodes", "--param", "--device",
         "--feature-steps", "dataset"]
    ),
    text=TEXTS,
)  # fmt: skip
def test_command_line(option, text):
    if option in ("--steps", "--episodes", "--batches") and text.isdigit():
        return
    options = RUN | ({} if option == "dataset" else {option: text})
    source = text if option == "dataset" else "pendulum/mixture-v0"
    flat = [part for pair in options.items() for part in pair]
    params = ["--param", "hidden_units=[2]", "--param", "batch_size=4"]
    code, said = command("run", *params, *flat, "--quiet", "--", source)
    assert code in (0, 1, 2)
    FIGURES[f"broken configurations: {'refused' if code else 'worked'}"] += 1
    if code:
        assert said.strip()
        assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",), ("nothing",), ("show", "/nowhere"), ("show", ""), ("export", "/nowhere", "a.pt"),
        ("import", "/nowhere", "a-v0"), ("import", "/dev/null", "a/b-v0"),
        ("run", "x" * 5_000, "--algo", "bc", "--sparsity", ".5"),
        ("run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".5", "--out", "/dev/null/x"),
        ("run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".5", "--out", "x" * 5_000),
        ("score", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", "a=1"),
        ("score", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".5", "--allocation",
         "floor(0)"),
    ],
    ids=lambda a: " ".join(a)[:40],
)  # fmt: skip
def test_commands_that_cannot_work(arguments):
    code, said = command(*arguments)
    assert code == 2
    assert said.strip()
    assert "Traceback" not in said
