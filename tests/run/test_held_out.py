"""Episodes that judge neither score nor train, and are the same for every seed."""

import numpy as np
import pytest
import torch

from offline_prune import prune_then_train
from offline_prune.errors import InputError
from offline_prune.evaluation.off_policy import split_episodes
from offline_prune.request.requests import TrainingRequest
from offline_prune.run.preparation import prepare
from tests.worlds import dataset

QUICK = {"n_steps": 5, "n_batches": 1, "progress": False, "algo_params": {"hidden_units": [8]}}


def weights(result):
    return torch.cat([p.detach().flatten() for p in result.algo.impl.policy.parameters()])


def test_they_are_the_same_for_every_seed_and_the_rest_is_what_is_learned_from():
    data = dataset("vector-continuous")
    first, second = (
        prepare(TrainingRequest(data, "bc", 0.5, seed=seed, held_out=0.25)) for seed in (0, 1)
    )
    np.testing.assert_array_equal(first.held_out.frames, second.held_out.frames)
    assert (len(first.held_out.ends), len(first.data.ends)) == (2, 6)
    rows = np.concatenate([first.data.rewards, first.held_out.rewards])
    assert sorted(rows.tolist()) == sorted(data.rewards.tolist())
    assert first.settings.held_out == 0.25
    assert first.settings.ope_fits is None


def test_a_run_that_holds_out_is_the_run_on_the_rest():
    data = dataset("vector-continuous")
    rest, held_out = split_episodes(data, 0.25, seed=0)
    asked = prune_then_train(
        data, "td3_plus_bc", 0.5, held_out=0.25, evaluate="ope", ope_steps=2, ope_fits=1, **QUICK
    )
    alone = prune_then_train(rest, "td3_plus_bc", 0.5, evaluate=0, **QUICK)
    assert torch.equal(weights(asked), weights(alone))
    judged = asked.evaluation.off_policy
    assert judged.behaviour.values == tuple(held_out_returns(held_out, asked.algo.gamma))
    assert asked.to_dict()["off_policy"]["held_out_episodes"] == 2
    assert alone.to_dict()["off_policy"] is None


def held_out_returns(data, gamma):
    for start, end in zip(data.starts, data.ends, strict=True):
        rewards = data.rewards[start:end].astype(np.float64)
        total = 0.0
        for reward in rewards[::-1]:
            total = float(reward) + gamma * total
        yield total


def test_what_judges_by_single_observations_refuses_a_sequence_model_before_training():
    with pytest.raises(InputError, match="seen and done before"):
        prune_then_train(
            dataset("vector-continuous"), "decision_transformer", 0.5, evaluate="ope",
            n_steps=10**7,
        )  # fmt: skip
