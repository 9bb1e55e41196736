"""A finished agent that is trained on keeps its zeros."""

import copy
import pickle

import d3rlpy
import gymnasium
import pytest
from d3rlpy.logging import NoopAdapterFactory

from offline_prune import PruneResult, prune_then_train
from offline_prune.agents import Agent
from tests.worlds import CONTINUOUS, dataset, params

KIND = "vector-continuous"
QUIET = {"logger_adapter": NoopAdapterFactory(), "show_progress": False}


def run(algo, method="snip", **options):
    return prune_then_train(dataset(KIND), algo, 0.8, method=method, n_steps=20, evaluate=0,
                            progress=False, algo_params=params(KIND, algo), **options)  # fmt: skip


def revived(algo, mask):
    """Pruned weights that are not zero."""
    weights = Agent.of(algo).weights
    return sum(int((weights[n].detach()[~kept] != 0).sum()) for n, kept in mask.connected.items())


def trained_on(algo):
    algo.fit(dataset(KIND).buffer, n_steps=6, n_steps_per_epoch=3, **QUIET)
    return algo


@pytest.mark.parametrize("algo", CONTINUOUS)
def test_training_on_keeps_the_zeros(tmp_path, algo):
    result = run(algo)
    before = copy.deepcopy(result.algo)
    trained_on(result.algo)
    assert revived(result.algo, result.mask) == 0
    changed = Agent.of(before).weights
    assert any((w != changed[n]).any() for n, w in Agent.of(result.algo).weights.items())
    result.save(tmp_path / "run")
    loaded = PruneResult.load(tmp_path / "run")
    trained_on(loaded.algo)
    assert revived(loaded.algo, loaded.mask) == 0
    for other in (copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        trained_on(other.algo)
        assert revived(other.algo, other.mask) == 0


@pytest.mark.parametrize("method", ["gmp", "set", "gates"])
def test_so_do_methods_that_prune_while_training(method):
    result = run("td3_plus_bc", method)
    trained_on(result.algo)
    assert revived(result.algo, result.mask) == 0


def test_online_too():
    class Box5(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (5,))
        action_space = gymnasium.spaces.Box(-1, 1, (2,))

        def reset(self, **_):
            self.t = 0
            return self.observation_space.sample(), {}

        def step(self, action):
            self.t += 1
            return self.observation_space.sample(), 0.0, False, self.t == 10, {}

    result = run("td3_plus_bc")
    result.algo.fit_online(
        Box5(), d3rlpy.dataset.create_fifo_replay_buffer(100, env=Box5()), n_steps=30,
        n_steps_per_epoch=10, update_start_step=16, **QUIET
    )  # fmt: skip
    assert revived(result.algo, result.mask) == 0


def test_who_wants_them_back_says_so():
    result = run("bc")
    assert result.release() is result.algo
    trained_on(result.algo)
    assert revived(result.algo, result.mask) > 0


def test_another_run_holds_its_own_mask():
    first = run("bc")
    second = prune_then_train(dataset(KIND), first.algo, 0.8, method="set", n_steps=40,
                              evaluate=0, progress=False)  # fmt: skip
    assert second.mask != first.mask
    grown = sum(int((second.mask.nominal[n] & ~k).sum()) for n, k in first.mask.nominal.items())
    assert grown > 0
    weights = Agent.of(second.algo).weights
    assert any(weights[n][second.mask.nominal[n] & ~k].any() for n, k in first.mask.nominal.items())


def test_a_dense_result_has_nothing_to_hold():
    result = prune_then_train(dataset(KIND), "bc", 0.0, n_steps=2, evaluate=0, progress=False,
                              algo_params=params(KIND, "bc"))  # fmt: skip
    assert not any(w._post_accumulate_grad_hooks for w in Agent.of(result.algo).weights.values())
