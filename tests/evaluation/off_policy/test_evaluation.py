"""All that held-out episodes say of a policy, in one."""

import dataclasses
import json

import numpy as np
import pytest

from offline_prune.evaluation.off_policy import (
    OffPolicyEvaluation,
    evaluate_off_policy,
    split_episodes,
)
from tests.evaluation.off_policy.worlds import GAMMA, away, away_value, chain, lever, state


@pytest.fixture(scope="module")
def judged():
    data, held_out = split_episodes(chain(), 0.2, seed=0)
    return held_out, evaluate_off_policy(away(data), data, held_out, n_steps=1500, fits=2)


@pytest.mark.slow
def test_the_value_is_the_mean_of_fits_that_differ_in_their_seed(judged):
    held_out, found = judged
    places = np.rint((held_out.frames[held_out.starts + np.arange(30), 0] - 100) / 10).astype(int)
    expected = np.mean([away_value(place) for place in places])
    assert [fit.seed for fit in found.fits] == [0, 1]
    assert found.value == pytest.approx(np.mean([fit.value for fit in found.fits]))
    assert found.value == pytest.approx(expected, abs=0.15)
    assert found.behaviour.gamma == GAMMA
    assert found.is_possible
    assert found.importance.value is not None  # actions are discrete
    assert found.td_error > 0


@pytest.mark.slow
def test_it_survives_json(judged):
    found = judged[1]
    content = json.loads(json.dumps(dataclasses.asdict(found)))
    assert OffPolicyEvaluation.from_dict(content) == found
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_continuous_policy_has_no_importance_weights_and_stays_as_it_was():
    data, algo = lever()
    rest, held_out = split_episodes(data, 0.5, seed=0)
    before = state(algo)
    found = evaluate_off_policy(algo, rest, held_out, n_steps=3, fits=1)
    assert found.importance is None
    assert "fitted Q evaluation" in str(found)
    tensors, *_ = before
    after, *_ = state(algo)
    assert all((tensors[name] == after[name]).all() for name in tensors)
    # The recorded levers are pulled at random, the policy's always by 1.
    recorded = held_out.actions[:, 0]
    assert found.from_data.value == pytest.approx(np.mean(((recorded - 1.0) / 2) ** 2), rel=1e-3)


def test_the_plot_shows_fitted_values_over_what_followed():
    data, algo = lever()
    rest, held_out = split_episodes(data, 0.5, seed=0)
    found = evaluate_off_policy(algo, rest, held_out, n_steps=3, fits=2)
    axes = found.plot()
    assert len(axes.lines) == 3
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), found.fits[1].values)
