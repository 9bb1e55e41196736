"""prune_and_shrink from a trained agent to a small student."""

import d3rlpy
import gymnasium
import numpy as np
import pytest
import rich
import torch

from offline_prune import (
    load_dataset,
    prune,
    prune_and_shrink,
    prune_online,
    prune_then_train,
    score,
)
from offline_prune.agents import Agent
from offline_prune.errors import (
    AlgorithmError,
    EnvironmentUnavailableError,
    InputError,
    ObjectiveNotReachedError,
    SparsityError,
    UnknownNameError,
)
from offline_prune.methods import MODIFIERS
from offline_prune.pops.student import widths
from tests.pops.worlds import FunctionGate, ScriptedGate, trained
from tests.worlds import dataset, params

QUICK = {"gate_interval": 10, "n_steps": 20, "distil_steps": 20, "evaluate": 0, "progress": False}


def shrunken(gate, kind="vector-discrete", algo="bc", **options):
    return prune_and_shrink(
        trained(kind, algo), dataset(kind), gate=gate, **{**QUICK, "final_sparsity": 0.5} | options
    )


def weights(result):
    return [w.detach().clone() for w in Agent.of(result.algo).weights.values()]


def test_rounds_go_on_until_the_size_converges():
    result = shrunken(ScriptedGate(1.0), minimum_width=5)
    # Half of every tensor: 24-24 → 60/5 = 12 and 36/3 = 12; then 6-6; then the minimum.
    assert [i.hidden_units for i in result.iterations] == [(24, 24), (12, 12), (6, 6), (5, 5)]
    assert [i.shrunken_units for i in result.iterations] == [(12, 12), (6, 6), (5, 5), (5, 5)]
    assert [i.accepted for i in result.iterations] == [True, True, True, False]
    assert result.iterations[-1].shrunken_score is None  # nothing left to distil
    for iteration in result.iterations[:2]:
        assert list(iteration.redundancy.values()) == pytest.approx([0.5] * 3)
    assert result.hidden_units == widths(result.algo) == (5, 5)
    small = 5 * 5 + 5 * 5 + 5 * 3
    assert (result.n_weights, result.n_parameters) == (small, small + 5 + 5 + 3)
    assert result.n_nonzero == result.n_weights
    assert result.fraction == small / (5 * 24 + 24 * 24 + 24 * 3)
    assert result.gradient_steps == result.iterations[0].pruning_steps * 4 + 3 * 10


def test_a_student_that_cannot_be_distilled_leaves_the_one_before():
    result = shrunken(FunctionGate(lambda algo: 1.0 if widths(algo)[0] >= 12 else 0.7))
    assert result.hidden_units == (12, 12)
    assert result.gate_score == 1.0
    last = result.iterations[-1]
    assert (last.shrunken_units, last.shrunken_score, last.accepted) == ((6, 6), 0.7, False)


def test_patience_ends_a_distillation_that_gets_no_better():
    gate = FunctionGate(lambda algo: 1.0 if widths(algo)[0] == 24 else 0.7)
    result = shrunken(gate, patience=3, distil_steps=1000)
    assert result.iterations[0].distillation_steps == 40  # the first is a new best
    assert shrunken(gate, patience=3, distil_steps=20).iterations[0].distillation_steps == 20


def test_without_a_small_student_the_result_is_the_sparsest_pruned_one():
    result = shrunken(FunctionGate(lambda algo: 1.0 if widths(algo)[0] == 24 else 0.0))
    assert result.hidden_units == (24, 24)
    assert result.fraction == 1.0
    assert result.n_nonzero == result.n_weights / 2
    assert result.iterations[0].sparsity == 0.5


def test_no_student_is_good_enough():
    with pytest.raises(ObjectiveNotReachedError, match=r"objective 1 .*best score was 0\.8"):
        shrunken(ScriptedGate(0.2, 0.8, 0.4), patience=2)


def test_max_iterations():
    assert len(shrunken(ScriptedGate(1.0), max_iterations=2).iterations) == 2


def test_the_small_student_starts_anew_and_the_next_round_from_it():
    seen = []

    def note(algo):
        seen.append((widths(algo), Agent.of(algo).weights["imitator._fc.weight"].clone()))
        return 1.0

    result = shrunken(FunctionGate(note), max_iterations=2)
    small = next(w for widths_, w in seen if widths_ == (12, 12))
    assert small.count_nonzero() == small.numel()
    assert result.hidden_units == (6, 6)


@pytest.mark.parametrize(
    ("kind", "algo"),
    [("vector-continuous", "td3_plus_bc"), ("pixel-discrete", "cql"), ("pixel-continuous", "iql")],
)
def test_other_kinds_of_data(kind, algo):
    result = shrunken(ScriptedGate(1.0), kind, algo, max_iterations=1)
    before, after = result.teacher_hidden_units, result.hidden_units
    assert len(after) == len(before)
    assert all(a <= b for a, b in zip(after, before, strict=True))
    assert result.n_weights < result.teacher_weights
    assert result.algo.predict(dataset(kind).observations[:4]).shape[0] == 4


def test_agreement_judges_where_there_is_no_environment():
    result = shrunken("auto", objective=0.1, lower_bound=0.0, max_iterations=1)
    assert "agreement with the teacher on 12 states of 1 held-out episodes" in result.gate
    assert result.evaluation.mean_return is None
    with pytest.raises(EnvironmentUnavailableError):
        shrunken("environment")


def test_the_same_seed_gives_the_same_student():
    def run(seed):
        return shrunken("agreement", objective=0.1, lower_bound=0.0, seed=seed)

    first = run(1)
    np.random.seed(5)
    torch.manual_seed(5)
    again = run(1)
    assert first.history == again.history
    assert first.iterations == again.iterations
    for a, b in zip(weights(first), weights(again), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(weights(first)[0], weights(run(2))[0])


def test_the_teacher_stays_as_it_is():
    teacher = trained("vector-discrete", "cql")
    before = {n: w.detach().clone() for n, w in Agent.of(teacher).weights.items()}
    shrunken(ScriptedGate(1.0), algo="cql", max_iterations=1)
    for name, weight in Agent.of(teacher).weights.items():
        assert torch.equal(weight, before[name])


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("gate", "returns", UnknownNameError),
        ("gate", object(), InputError),
        ("n_steps", 0, InputError),
        ("distil_steps", 1.5, InputError),
        ("gate_interval", 0, InputError),
        ("gate_episodes", -1, InputError),
        ("patience", True, InputError),
        ("minimum_width", 0, InputError),
        ("max_iterations", 0, InputError),
        ("batch_size", 0, InputError),
        ("final_sparsity", 1.0, SparsityError),
        ("temperature", 0.0, InputError),
        ("temperature", float("inf"), InputError),
        ("learning_rate", "fast", InputError),
        ("learning_rate", 0, InputError),
        ("seed", -1, InputError),
        ("evaluate", -1, InputError),
        ("objective", float("nan"), InputError),
        ("objective", "high", InputError),
    ],
)
def test_arguments_that_are_refused(option, value, error):
    options = {**QUICK, option: value}
    with pytest.raises(error):
        prune_and_shrink(trained("vector-discrete", "bc"), dataset("vector-discrete"), **options)


def test_bounds_that_are_refused():
    teacher, data = trained("vector-discrete", "bc"), dataset("vector-discrete")
    with pytest.raises(InputError, match="is above objective"):
        prune_and_shrink(teacher, data, objective=0.5, lower_bound=0.6, **QUICK)
    with pytest.raises(InputError, match="gate of your own"):
        prune_and_shrink(teacher, data, gate=ScriptedGate(1.0), objective=0.5, **QUICK)
    with pytest.raises(AlgorithmError):
        prune_and_shrink(None, data, **QUICK)


@pytest.mark.slow
def test_cartpole_end_to_end(tmp_path):
    """A teacher on the bundled dataset, judged in the environment."""
    teacher = prune_then_train(
        "cartpole/mixture-v0",
        "bc",
        0.0,
        n_steps=300,
        algo_params={"hidden_units": [32, 32]},
        evaluate=0,
        progress=False,
    )
    result = prune_and_shrink(
        teacher,
        "cartpole/mixture-v0",
        objective=100.0,
        n_steps=300,
        distil_steps=1000,
        gate_interval=100,
        gate_episodes=4,
        max_iterations=1,
        evaluate=3,
        progress=False,
    )
    assert "4 episodes of CartPole-v1" in result.gate
    assert max(result.hidden_units) < 32
    assert result.gate_score >= 100.0
    assert result.evaluation.mean_return > 60.0  # a random policy's is 23.68
    assert result.teacher_evaluation.seeds == result.evaluation.seeds
    result.algo.save(str(tmp_path / "student.d3"))
    loaded = d3rlpy.load_learnable(str(tmp_path / "student.d3"))
    assert type(loaded) is d3rlpy.algos.DiscreteBC
    x = load_dataset("cartpole/mixture-v0").observations[:100]
    np.testing.assert_array_equal(loaded.predict(x), result.algo.predict(x))
    written = result.export(tmp_path / "student.pt")
    assert written.n_weights == result.n_weights
    assert f"{result.n_weights:,} of {result.teacher_weights:,} weights" in str(result)
    rich.print(result.summary())


@pytest.mark.slow
def test_pendulum_end_to_end():
    """Continuous actions with scalers, judged by agreement."""
    teacher = prune_then_train(
        "pendulum/mixture-v0",
        "bc",
        0.0,
        n_steps=600,
        algo_params={"hidden_units": [32, 32]},
        evaluate=0,
        progress=False,
    )
    result = prune_and_shrink(
        teacher,
        "pendulum/mixture-v0",
        gate="agreement",
        objective=0.9,
        n_steps=400,
        distil_steps=1000,
        gate_interval=100,
        max_iterations=1,
        evaluate=1,
        progress=False,
    )
    assert result.n_weights < result.teacher_weights
    assert result.gate_score >= 0.9
    student, taught = result.algo.config, teacher.algo.config
    assert student.action_scaler.serialize() == taught.action_scaler.serialize()
    assert student.observation_scaler.serialize() == taught.observation_scaler.serialize()
    x = load_dataset("pendulum/mixture-v0").observations[::50]
    apart = np.abs(result.algo.predict(x) - teacher.algo.predict(x)) / 2.0  # torques in ±2
    assert 1.0 - apart.mean() / 2.0 > 0.88


METHOD = (
    "pops(steps=20, gate=agreement, objective=0.1, lower_bound=0.0, gate_interval=10,"
    " distil_steps=20)"
)


def run(method=METHOD, sparsity=0.5, kind="vector-discrete", algo="cql", **options):
    return prune_then_train(
        dataset(kind),
        algo,
        sparsity,
        **{"method": method, "n_steps": 6, "evaluate": 0, "progress": False} | options,
        algo_params=params(kind, algo),
    )


def test_the_method_trains_like_no_pruning_and_returns_the_student(tmp_path):
    result, dense = run(), run("random", 0.0)
    assert type(result.algo) is d3rlpy.algos.DiscreteBC
    assert result.mask.sparsity == 0.0
    assert set(result.mask.nominal) == set(Agent.of(result.algo).weights)
    direct = prune_and_shrink(
        dense,
        dataset("vector-discrete"),
        gate="agreement",
        objective=0.1,
        lower_bound=0.0,
        final_sparsity=0.5,
        **QUICK,
    )
    x = dataset("vector-discrete").observations
    np.testing.assert_array_equal(result.algo.predict(x), direct.algo.predict(x))
    result.save(tmp_path / "run")
    again = type(result).load(tmp_path / "run")
    np.testing.assert_array_equal(again.algo.predict(x), result.algo.predict(x))
    assert again.settings.algo == "discrete_cql"


def test_at_sparsity_zero_the_method_leaves_the_agent():
    result, dense = run(sparsity=0.0), run("random", 0.0)
    assert type(result.algo) is d3rlpy.algos.DiscreteCQL
    for a, b in zip(weights(result), weights(dense), strict=True):
        assert torch.equal(a, b)


def test_the_method_is_refused_where_nobody_calls_it_after_training():
    data = dataset("vector-discrete")
    for call in (prune, score):
        with pytest.raises(InputError, match="PoPS replaces the agent"):
            call(data, "bc", 0.5, method="pops")
    with pytest.raises(InputError, match="PoPS replaces the agent"):
        prune_online(
            gymnasium.make("CartPole-v1"), d3rlpy.algos.DQNConfig(), 0.5, n_steps=5, method="pops"
        )
    for modifier in MODIFIERS:
        with pytest.raises(InputError, match=r"PoPS replaces the agent|does not take"):
            run(f"{modifier}(pops)")
    with pytest.raises(InputError, match="rescale has no mask"):
        run(rescale=True)


@pytest.mark.parametrize(
    "method", ["pops(steps=0)", "pops(gate=returns)", "pops(colour=1)", "pops(gate='environment')"]
)
def test_wrong_options_of_the_method_are_refused_before_training(method):
    with pytest.raises((InputError, EnvironmentUnavailableError)):
        run(method, callback=lambda *_: pytest.fail("it was trained"))


def test_an_agent_that_cannot_teach_is_refused_before_training():
    with pytest.raises(AlgorithmError, match="DeterministicResidualPolicy"):
        run(
            kind="vector-continuous",
            algo="bcq",
            callback=lambda *_: pytest.fail("it was trained"),
        )


def test_the_method_has_no_mask_to_refill():
    with pytest.raises(InputError, match="refill serves masks"):
        run(refill=True, callback=lambda *_: pytest.fail("it was trained"))
