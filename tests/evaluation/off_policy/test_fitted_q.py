"""Fitted Q evaluation of policies whose value is known in closed form."""

import dataclasses

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DQNConfig
from d3rlpy.dataset import MDPDataset
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.preprocessing import MultiplyRewardScaler, StandardObservationScaler

from offline_prune.data import load_dataset
from offline_prune.errors import AlgorithmError, InputError, NonFiniteError
from offline_prune.evaluation.off_policy import fitted_q_evaluation, split_episodes
from offline_prune.evaluation.off_policy.training import judging_encoder
from tests import worlds
from tests.evaluation.off_policy.worlds import (
    GAMMA,
    away,
    away_value,
    chain,
    lever,
    observed,
    state,
    without_drawing,
)

SMALL = {
    "hidden_units": (32, 32), "learning_rate": 3e-3, "batch_size": 64,
    "target_update_interval": 25,
}  # fmt: skip


@pytest.fixture(scope="module")
def parts():
    return split_episodes(chain(), 0.2, seed=0)


def expected(held_out):
    """The value of each held-out initial state."""
    first = held_out.observations[np.r_[0, held_out.ends[:-1]], 0]
    return np.array([away_value(round((x - 100) / 10)) for x in first])


def test_the_value_of_a_chain_is_found_in_the_datas_unit(parts):
    # Rewards of the agent are standardised, its observations too: 100 to 150 without.
    found = fitted_q_evaluation(away(parts[0]), *parts, n_steps=500, **SMALL)
    np.testing.assert_allclose(found.values, expected(parts[1]), atol=0.05)
    assert found.value == pytest.approx(expected(parts[1]).mean(), abs=0.03)
    assert found.gamma == GAMMA
    assert found.is_possible
    # −.5 or at most 2.5 a step, for ever.
    assert (found.least, found.greatest) == pytest.approx((-5.0, 25.0))


def test_rare_large_rewards_count_in_full():
    # d3rlpy's discrete critics have the Huber loss, which of large errors sees the sign alone.
    n = 1_000
    x, right = np.stack([observed(5)] * n), np.ones((n, 1), np.int64)
    rewards = np.where(np.arange(n) % 10 == 0, 100.0, 0.0)
    data = load_dataset(MDPDataset(x, right, rewards, np.ones(n), action_size=2))
    found = fitted_q_evaluation(
        away(data), data, data, n_steps=200, **{**SMALL, "batch_size": 1_000, "learning_rate": 1e-3}
    )
    assert found.value == pytest.approx(10.0, abs=2.0)


def test_the_agents_reward_scaler_plays_no_part(parts):
    one, other = (
        fitted_q_evaluation(away(parts[0], reward_scaler=scaler), *parts, n_steps=3, **SMALL)
        for scaler in (None, MultiplyRewardScaler(100.0))
    )
    assert one.values == other.values


def test_continuous_actions_are_read_through_the_agents_action_scaler():
    data, algo = lever(action=1.0)
    found = fitted_q_evaluation(
        algo, data, data, n_steps=300, **{**SMALL, "target_update_interval": 10}
    )
    assert found.gamma == 0.5
    # 1 + .5 + .25 + …, beyond the cut after five steps.
    np.testing.assert_allclose(found.values, 2.0, atol=0.05)


def test_transitions_of_several_steps_do_not_lend_the_behaviours_rewards(parts):
    train, held_out = parts
    algo = away(train)
    one = fitted_q_evaluation(algo, train, held_out, n_steps=3, **SMALL)
    longer = train.with_n_steps(3, GAMMA).with_semantics("d3rlpy")
    assert fitted_q_evaluation(algo, longer, held_out, n_steps=3, **SMALL).values == one.values


def test_neither_agent_nor_random_states_are_changed(parts):
    algo = away(parts[0])
    algo.update(parts[0].buffer.sample_transition_batch(8))
    for name, module in algo.impl.modules.get_torch_modules().items():
        module.train("targ" in name)
    before, steps = state(algo), algo.grad_step
    first = without_drawing(lambda: fitted_q_evaluation(algo, *parts, n_steps=5, seed=7, **SMALL))
    after = state(algo)
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1] == after[1]
    assert set(before[1]) == {True, False}
    assert all(a is b for a, b in zip(before[2], after[2], strict=True))
    assert before[3] == after[3]
    assert algo.grad_step == steps
    again = fitted_q_evaluation(algo, *parts, n_steps=5, seed=7, **SMALL)
    assert again.values == first.values
    other = fitted_q_evaluation(algo, *parts, n_steps=5, seed=8, **SMALL)
    assert other.values != first.values


def test_gamma_and_the_size_of_the_network_are_the_callers(parts):
    algo = away(parts[0])
    now = fitted_q_evaluation(algo, *parts, n_steps=300, gamma=0.0, **SMALL)
    first = [{0: 0.5, 5: 2.5}.get(int((x - 100) // 10), -0.5) for x in
             parts[1].observations[np.r_[0, parts[1].ends[:-1]], 0]]  # fmt: skip
    np.testing.assert_allclose(now.values, first, atol=0.1)
    small, large = (
        fitted_q_evaluation(algo, *parts, n_steps=1, **{**SMALL, "hidden_units": units})
        for units in ([4], [8])
    )
    assert small.values != large.values


def test_the_target_is_renewed_as_often_as_the_discount_looks_ahead(parts):
    algo = away(parts[0])

    def missing(**options):
        found = fitted_q_evaluation(algo, *parts, hidden_units=(4,), batch_size=1, **options)
        return found.missing

    # .9^44 is the first power below 1 %: a renewal every second step, then every step.
    assert missing(n_steps=88) == pytest.approx(GAMMA**44)
    assert missing(n_steps=20) == pytest.approx(GAMMA**20)
    assert missing(n_steps=20, target_update_interval=7) == pytest.approx(GAMMA**2)
    assert missing(n_steps=20, gamma=0.0) == 0.0
    assert missing(n_steps=20, gamma=1.0) == 1.0


def test_what_cannot_be_true_is_said(parts):
    found = fitted_q_evaluation(away(parts[0]), *parts, n_steps=1, **SMALL)
    assert found.is_possible
    assert not dataclasses.replace(found, values=(1.0, 29.0)).is_possible
    assert not dataclasses.replace(found, values=(-9.0, 1.0)).is_possible
    assert dataclasses.replace(
        found, values=(-9.0, 99.0), least=-np.inf, greatest=np.inf
    ).is_possible


@pytest.mark.parametrize("n_steps", [1, 30])  # values overflow, then weights
def test_divergence_is_an_error(parts, n_steps):
    with pytest.raises(NonFiniteError, match="diverged"):
        fitted_q_evaluation(away(parts[0]), *parts, n_steps=n_steps, learning_rate=1e30)


@pytest.mark.parametrize(
    "wrong",
    [{"n_steps": 0}, {"seed": -1}, {"gamma": 1.1}, {"learning_rate": 0.0}, {"batch_size": 0},
     {"hidden_units": ()}, {"hidden_units": (0,)}, {"hidden_units": 256},
     {"target_update_interval": 0}],
    ids=str,
)  # fmt: skip
def test_wrong_numbers_are_refused_by_name(parts, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        fitted_q_evaluation(away(parts[0]), *parts, **{"n_steps": 1, **wrong})


def test_what_is_no_policy_of_these_data_is_refused(parts):
    train, held_out = parts
    refused = [
        (DQNConfig().create(), "before it is built"),
        (object(), "object"),
        (lever()[1], "continuous"),
        (worlds.agent("vector-discrete", "cql").algo, "shape"),
        (worlds.agent("vector-discrete", "decision_transformer").algo, "environment"),
        # d3rlpy builds networks without fitting scalers.
        (away(train, observation_scaler=StandardObservationScaler()), "never"),
    ]
    for algo, message in refused:
        with pytest.raises(AlgorithmError, match=message):
            fitted_q_evaluation(algo, train, held_out, n_steps=1)


def test_agents_without_critics_and_with_noise_have_a_value():
    data = worlds.dataset("vector-continuous")
    bc = BCConfig().create()
    bc.build_with_dataset(data.buffer)
    for algo in (bc, worlds.agent("vector-continuous", "bcq").algo):
        one, two = (fitted_q_evaluation(algo, data, data, n_steps=2, **SMALL) for _ in range(2))
        assert one.values == two.values
        assert len(one.values) == len(data.ends)


def test_images_and_stacks_are_read():
    data = worlds.dataset("pixel-discrete")
    algo = worlds.agent("pixel-discrete", "cql").algo
    assert fitted_q_evaluation(algo, data, data, n_steps=1, batch_size=4).is_possible
    stacked = worlds.dataset("vector-discrete").with_frame_stack(2)
    dqn = DQNConfig(encoder_factory=VectorEncoderFactory([8])).create()
    dqn.build_with_dataset(stacked.buffer)
    assert len(fitted_q_evaluation(dqn, stacked, stacked, n_steps=1).values) == 8
    assert judging_encoder((1, 10, 10), (8,)).filters == [[16, 3, 1]]
