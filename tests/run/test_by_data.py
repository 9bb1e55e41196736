"""What held-out episodes must say of a pruned policy for it to be accepted."""

from types import SimpleNamespace

import pytest

from offline_prune.evaluation.evaluation import Evaluation
from offline_prune.evaluation.off_policy import (
    FittedQ,
    OffPolicyEvaluation,
    behaviour_value,
    distance_from_data,
)
from offline_prune.run.by_data import ByData
from tests.evaluation.off_policy.worlds import lever

DATA = lever()[0]
RANGE = behaviour_value(DATA, 0.5).range


class Told:
    """Trials whose agents pull a lever by a given force and are worth a given value."""

    def __init__(self, agents):
        self.agents = agents

    def result(self, sparsity, seed, evaluate):
        force, values = self.agents[sparsity, seed]
        algo = lever(force)[1]
        fits = tuple(fit(seed, value) for seed, value in enumerate(values))
        behaviour, apart = behaviour_value(DATA, 0.5), distance_from_data(algo, DATA)
        found = OffPolicyEvaluation(fits, behaviour, apart, None, None)
        judged = Evaluation(None, None, None, None, reason="", off_policy=found)
        return SimpleNamespace(algo=algo, evaluation=judged if evaluate == "ope" else None)


def fit(seed, value):
    count = len(DATA.ends)
    return FittedQ(
        value=value * RANGE, values=(value * RANGE,) * count, gamma=0.5, n_steps=1, seed=seed,
        least=-4.0, greatest=4.0, states="", missing=0.0, seconds=0.0,
    )  # fmt: skip


DENSE = {(0.0, 0): (0.0, [0.0, 0.0, 0.0]), (0.0, 1): (0.4, []), (0.0, 2): (-0.4, [])}


def judged(force, values):
    trials = Told({**DENSE, (0.9, 0): (force, values)})
    judge = ByData(trials, DATA, 0.0, (0, 1, 2), retain=0.97, level=0.95)
    return judge.candidate(0.9)


def test_the_noise_is_the_mean_over_pairs_of_dense_agents():
    # Forces 0, .4 and −.4 of a range of 2: .2², .2² and .4² apart.
    found = judged(0.2, [0.0, 0.0, 0.0])
    assert found.noise == pytest.approx((0.04 + 0.04 + 0.16) / 3, rel=1e-4)
    assert found.disagreement == pytest.approx(0.1**2, rel=1e-4)
    assert found.accepted


def test_who_acts_farther_than_another_seed_is_not_accepted_however_good():
    found = judged(0.6, [0.5, 0.5, 0.5])
    assert found.disagreement > found.noise
    assert found.low > 0
    assert not found.accepted


@pytest.mark.parametrize(("loss", "accepted"), [(-0.029, True), (-0.031, False), (0.3, True)])
def test_fitted_values_may_be_lower_by_what_may_be_lost(loss, accepted):
    found = judged(0.2, [loss] * 3)
    assert found.difference == pytest.approx(loss)
    assert found.accepted is accepted


def test_fits_that_disagree_show_nothing():
    found = judged(0.2, [0.2, -0.2, 0.0])
    assert found.difference == pytest.approx(0.0)
    assert found.low < -0.03
    assert not found.accepted


def test_values_that_rewards_cannot_add_up_to_count_for_nothing():
    found = judged(0.2, [0.0, 0.0, 100.0])
    assert found.difference is None
    assert not found.accepted
    assert "diverged" in str(found)
