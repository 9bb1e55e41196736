"""The two gates and the split of episodes."""

import dataclasses

import numpy as np
import pytest

from offline_prune import load_dataset
from offline_prune.errors import EnvironmentUnavailableError, InputError
from offline_prune.pops import AgreementGate, EnvironmentGate, Gate
from offline_prune.pops.teacher import Teacher
from tests.pops.worlds import ScriptedGate, trained
from tests.worlds import dataset


class Constant:
    """Always the same action."""

    def __init__(self, action):
        self.action = action

    def predict(self, observations):
        return np.repeat(self.action, len(observations))


@pytest.fixture(scope="module")
def cartpole(minari_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(minari_root))
        return load_dataset("cartpole/mixture-v0")


@pytest.mark.slow
def test_bounds_by_the_teachers_distance_from_a_random_policy(cartpole):
    gate = EnvironmentGate(cartpole.metadata, teacher_return=123.68)
    assert gate.objective == pytest.approx(118.68)  # the floor is 23.68, 100 below
    assert gate.lower_bound == pytest.approx(108.68)
    assert "20 episodes of CartPole-v1" in gate.description
    worse = EnvironmentGate(cartpole.metadata, teacher_return=13.68)
    assert worse.objective == pytest.approx(13.18)  # never above the teacher
    asked = EnvironmentGate(cartpole.metadata, teacher_return=123.68, objective=195.0)
    assert asked.lower_bound == pytest.approx(185.0)


def test_a_floor_that_is_not_known_is_rolled_out(cartpole):
    metadata = dataclasses.replace(cartpole.metadata, reference_min=None)
    gate = EnvironmentGate(metadata, teacher_return=500.0, episodes=30)
    floor = 500.0 - (500.0 - gate.objective) / 0.05
    assert floor == pytest.approx(23.68, abs=6.0)
    continuous = load_dataset("pendulum/mixture-v0").metadata
    gate = EnvironmentGate(
        dataclasses.replace(continuous, reference_min=None), teacher_return=-200.0, episodes=10
    )
    assert -1600.0 < -200.0 - (-200.0 - gate.objective) / 0.05 < -800.0


def test_episodes_of_every_score_are_new(cartpole, monkeypatch):
    seeds = []
    original = EnvironmentGate.score.__globals__["evaluate"]

    def noted(*arguments, **options):
        found = original(*arguments, **options)
        seeds.extend(found.seeds)
        return found

    monkeypatch.setitem(EnvironmentGate.score.__globals__, "evaluate", noted)
    gate = EnvironmentGate(cartpole.metadata, teacher_return=100.0, episodes=3, seed=7)
    scores = [gate.score(Constant(0)) for _ in range(2)]
    assert len(set(seeds)) == 6
    assert min(seeds) > 7 + 100_000
    assert all(8.0 <= score <= 11.0 for score in scores)  # it falls to one side


def test_no_environment_is_an_error_of_the_environment_gate():
    gate = EnvironmentGate(
        dataset("vector-discrete").metadata, teacher_return=0.0, objective=1.0, lower_bound=0.5
    )
    with pytest.raises(EnvironmentUnavailableError, match="names no environment"):
        gate.score(Constant(0))


@pytest.mark.parametrize("bounds", [(1.0, 2.0), (float("nan"), 0.0), (1.0, float("-inf"))])
def test_bounds_the_wrong_way_round_are_refused(cartpole, bounds):
    objective, lower = bounds
    with pytest.raises(InputError, match="objective"):
        EnvironmentGate(
            cartpole.metadata, teacher_return=0.0, objective=objective, lower_bound=lower
        )


@pytest.mark.parametrize(
    ("kind", "algo"),
    [("vector-discrete", "bc"), ("pixel-discrete", "cql"), ("vector-continuous", "iql")],
)
def test_a_teacher_agrees_with_itself(kind, algo):
    data = dataset(kind)
    teacher = Teacher.of(trained(kind, algo), data)
    gate = AgreementGate(teacher, data)
    assert gate.score(teacher.algo) == 1.0
    assert (gate.objective, gate.lower_bound) == (0.95, pytest.approx(0.85))
    assert "96 states of 8 held-out episodes" in gate.description


def test_agreement_of_actions():
    kind = "vector-discrete"
    data = dataset(kind)
    teacher, other = trained(kind, "bc"), trained(kind, "cql")
    gate = AgreementGate(Teacher.of(teacher, data), data)
    expected = np.mean(teacher.predict(data.observations) == other.predict(data.observations))
    assert gate.score(other) == pytest.approx(expected)
    assert expected < 1.0


def test_agreement_of_vectors():
    kind = "vector-continuous"
    data = dataset(kind)
    teacher, other = trained(kind, "bc"), trained(kind, "iql")
    gate = AgreementGate(Teacher.of(teacher, data), data)
    apart = np.abs(teacher.predict(data.observations) - other.predict(data.observations))
    assert gate.score(other) == pytest.approx(1.0 - apart.mean() / 2.0, abs=1e-6)
    assert apart.mean() > 0.01


def test_anything_with_a_score_and_bounds_is_a_gate():
    assert isinstance(ScriptedGate(1.0), Gate)
    assert not isinstance(object(), Gate)
