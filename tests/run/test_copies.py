"""Results, masks and agents are copied and pickled; what is held stays held, or is plain."""

import copy
import pickle

import d3rlpy
import numpy as np
import pytest
import torch

from offline_prune import prune, prune_then_train
from offline_prune.agents import Agent
from tests.worlds import CONTINUOUS, dataset, params

KIND = "vector-continuous"


QUIET = {"logger_adapter": d3rlpy.logging.NoopAdapterFactory(), "show_progress": False}


def through_pickle(value):
    return pickle.loads(pickle.dumps(value))


COPIES = pytest.mark.parametrize(
    "copied", [copy.deepcopy, through_pickle], ids=["deepcopy", "pickle"]
)


def held(algo, **options):
    agent, _ = prune(
        dataset(KIND), algo, 0.8, n_steps=40, algo_params=params(KIND, algo), **options
    )
    return agent


def same_weights(one, other):
    theirs = Agent.of(other).weights
    return all(torch.equal(w, theirs[n]) for n, w in Agent.of(one).weights.items())


@COPIES
@pytest.mark.parametrize("algo", CONTINUOUS)
def test_a_result_is_copied_whole(algo, copied):
    result = prune_then_train(dataset(KIND), algo, 0.8, n_steps=3, evaluate=0, progress=False,
                              algo_params=params(KIND, algo))  # fmt: skip
    other = copied(result)
    assert other.mask == result.mask
    assert other.settings == result.settings
    assert same_weights(result.algo, other.algo)
    assert other.to_dict() == result.to_dict()


@COPIES
@pytest.mark.parametrize("engine", ["auto", "masked", "compact"])
@pytest.mark.parametrize("algo", ["bc", "td3_plus_bc", "bcq"])
def test_a_copy_of_a_held_algorithm_is_plain_and_can_be_saved(tmp_path, algo, engine, copied):
    agent = held(algo, engine=engine)
    kept = []

    def keep(running, epoch, step):
        if step == 4:
            kept.append(copied(running))

    agent.algo.fit(dataset(KIND).buffer, n_steps=6, n_steps_per_epoch=3, callback=keep, **QUIET)
    (best,) = kept

    def predicted(algo):
        torch.manual_seed(0)  # BCQ draws actions
        return algo.predict(dataset(KIND).observations[:8])

    best.save(str(tmp_path / "best.d3"))
    loaded = d3rlpy.load_learnable(str(tmp_path / "best.d3"))
    np.testing.assert_allclose(predicted(loaded), predicted(best))
    for name, weight in Agent.of(best).weights.items():
        assert not weight[~agent.engine.mask.connected[name]].any()
    assert not np.allclose(predicted(agent.algo), predicted(best))
    agent.finish()
    assert "__deepcopy__" not in vars(agent.algo)


@COPIES
@pytest.mark.parametrize("method", ["snip", "rigl(interval=5)", "gmp(interval=5)"])
def test_a_copy_of_an_agent_goes_on_as_the_agent_does(method, copied):
    agent = held("iql", method=method, engine="masked")
    batches = [dataset(KIND).buffer.sample_transition_batch(16) for _ in range(30)]

    def train(subject, steps):
        for step in steps:
            torch.manual_seed(step)
            subject.algo.update(batches[step])
            subject.callback(subject.algo, 1, step + 1)

    train(agent, range(12))
    other = copied(agent)
    assert other.engine.mask == agent.engine.mask
    train(agent, range(12, 30))
    train(other, range(12, 30))
    assert other.finish() == agent.finish()
    theirs = other.weights
    for name, weight in agent.weights.items():
        torch.testing.assert_close(theirs[name], weight)
