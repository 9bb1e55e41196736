"""A run that was killed goes on, and ends as if nothing had happened."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor

from offline_prune import prune, prune_then_train
from offline_prune.agents.d3rlpy_host import find_optimizers
from offline_prune.run.checkpoint import Checkpoint, Progress
from tests.worlds import CASES, SEQUENCES, dataset, params

VECTORS = [case for case in CASES if case[0].startswith("vector")]


class Killed(Exception):
    pass


class Observer:
    """An epoch callback with a state."""

    def __init__(self):
        self.epochs = []

    def __call__(self, algo, epoch, step):
        self.epochs.append((epoch, step))

    def state_dict(self):
        return {"epochs": self.epochs}

    def load_state_dict(self, state):
        self.epochs = [tuple(pair) for pair in state["epochs"]]


def run(kind, algo, directory, die_at=None, **options):
    steps, observer = [], Observer()

    def callback(algo, epoch, step):
        steps.append((epoch, step))
        if step == die_at:
            raise Killed

    # What a new process would have drawn meanwhile must not matter.
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0 if die_at is None else die_at)
    options = {"method": "snip", "n_steps": 8, "n_steps_per_epoch": 2, "evaluate": 0} | options
    chosen = params(kind, algo) | options.pop("algo_params", {})
    call = {"checkpoint_dir": directory, "progress": False, "n_batches": 1, "algo_params": chosen}
    try:
        result = prune_then_train(
            dataset(kind), algo, 0.8, callback=callback, epoch_callback=observer, **call, **options
        )
    except Killed:
        result = None
    return result, steps, observer.epochs


def flat(value, prefix=""):
    """Tables and lists of tensors and numbers, by their path."""
    if isinstance(value, dict):
        return {k: v for key in value for k, v in flat(value[key], f"{prefix}/{key}").items()}
    if isinstance(value, list | tuple):
        return flat(dict(enumerate(value)), prefix)
    return {prefix: value}


def assert_same(one, other):
    assert one.mask == other.mask
    assert one.algo.grad_step == other.algo.grad_step
    for name, part in vars(one.algo.impl.modules).items():
        if not hasattr(part, "state_dict"):
            continue
        ours = flat(part.state_dict())
        theirs = flat(getattr(other.algo.impl.modules, name).state_dict())
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            if isinstance(value, Tensor):
                assert torch.equal(value, theirs[key]), (name, key)
            else:
                assert value == theirs[key], (name, key)
    assert (one.last is None) == (other.last is None)
    if one.last is not None:
        for key, value in one.last.weights.items():
            assert torch.equal(value, other.last.weights[key]), key
    timeless = [
        [{k: v for k, v in row.items() if not k.startswith("time_")} for row in result.history]
        for result in (one, other)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize("engine", ["masked", "auto", "compact"])
@pytest.mark.parametrize(("kind", "algo"), VECTORS)
def test_a_resumed_run_ends_with_the_same_bits(kind, algo, engine, tmp_path):
    whole, _, epochs = run(kind, algo, None, engine=engine)
    assert run(kind, algo, tmp_path, die_at=3, engine=engine)[0] is None
    _, steps, _ = run(kind, algo, tmp_path, die_at=7, engine=engine)
    assert steps[0] == (2, 3)
    resumed, steps, seen = run(kind, algo, tmp_path, engine=engine)
    assert steps == [(4, 7), (4, 8)]
    assert seen == epochs == [(1, 2), (2, 4), (3, 6), (4, 8)]
    assert_same(resumed, whole)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "algo"), SEQUENCES)
def test_a_resumed_sequence_model_ends_with_the_same_bits(kind, algo, tmp_path):
    """Its learning rate too, which d3rlpy lets follow the tokens that a discrete one has seen."""
    chosen = {"algo_params": {"warmup_tokens": 200} if kind == "vector-discrete" else {}}
    whole, _, epochs = run(kind, algo, None, allocation="erk", **chosen)
    assert run(kind, algo, tmp_path, die_at=3, allocation="erk", **chosen)[0] is None
    resumed, steps, seen = run(kind, algo, tmp_path, allocation="erk", **chosen)
    assert steps[0] == (2, 3)
    assert seen == epochs
    assert_same(resumed, whole)


def test_averages_go_on_where_they_were(tmp_path):
    whole, _, _ = run("vector-continuous", "iql", None, averaging="tail(1)")
    run("vector-continuous", "iql", tmp_path, die_at=5, averaging="tail(1)")
    resumed, steps, _ = run("vector-continuous", "iql", tmp_path, averaging="tail(1)")
    assert steps[0] == (3, 5)
    assert_same(resumed, whole)


def test_learning_rates_go_on_where_they_were(tmp_path):
    """Cosine decay: every step has a rate of its own."""
    decay = {"algo_params": {"actor_learning_rate_decay": "cosine"}}
    whole, _, _ = run("vector-continuous", "iql", None, **decay)
    run("vector-continuous", "iql", tmp_path, die_at=5, **decay)
    resumed, steps, _ = run("vector-continuous", "iql", tmp_path, **decay)
    assert steps[0] == (3, 5)
    assert_same(resumed, whole)


def test_pixels(tmp_path):
    whole, _, _ = run("pixel-discrete", "cql", None)
    run("pixel-discrete", "cql", tmp_path, die_at=5)
    resumed, steps, _ = run("pixel-discrete", "cql", tmp_path)
    assert steps[0] == (3, 5)
    assert_same(resumed, whole)


@pytest.mark.parametrize("method", ["small_dense", "rescaled(shuffled(snip))", "structured"])
def test_whatever_the_method_did_beforehand_is_done_again(method, tmp_path):
    whole, _, _ = run("vector-continuous", "iql", None, method=method)
    run("vector-continuous", "iql", tmp_path, die_at=5, method=method)
    resumed, _, _ = run("vector-continuous", "iql", tmp_path, method=method)
    assert_same(resumed, whole)


@pytest.mark.parametrize("method", ["gmp", "rigl", "gates"])
def test_methods_that_prune_while_training_start_again(method, tmp_path):
    whole, _, _ = run("vector-continuous", "iql", None, method=method)
    run("vector-continuous", "iql", tmp_path, die_at=5, method=method)
    again, steps, _ = run("vector-continuous", "iql", tmp_path, method=method)
    assert steps[0] == (1, 1)
    assert_same(again, whole)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"method": "magnitude"},
        {"n_steps": 10},
        {"engine": "masked"},
        {"parameterization": "standard"},
        {"parameterization": "sparse"},
        {"averaging": "none"},
        {"averaging": "tail(0.5)"},
        {"algo_params": {"batch_size": 17}},
    ],
)
def test_another_run_in_the_same_folder_starts_at_its_beginning(changed, tmp_path):
    run("vector-continuous", "bc", tmp_path, die_at=5)
    _, steps, _ = run("vector-continuous", "bc", tmp_path, **changed)
    assert steps[0] == (1, 1)
    _, steps, _ = run("vector-continuous", "bc", tmp_path)  # the first one's is still there
    assert steps[0] == (3, 5)


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"no"])
def test_a_damaged_checkpoint_is_none(damage, tmp_path):
    whole, _, _ = run("vector-continuous", "bc", None)
    run("vector-continuous", "bc", tmp_path, die_at=5)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    again, steps, _ = run("vector-continuous", "bc", tmp_path)
    assert steps[0] == (1, 1)
    assert_same(again, whole)


def test_a_run_killed_after_training_does_not_train_again(tmp_path):
    whole, _, _ = run("vector-continuous", "bc", None)
    run("vector-continuous", "bc", tmp_path, die_at=7)

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("offline_prune.run.judging.evaluate", fail)
        with pytest.raises(KeyboardInterrupt):
            run("vector-continuous", "bc", tmp_path)
    resumed, steps, _ = run("vector-continuous", "bc", tmp_path)
    assert steps == []
    assert_same(resumed, whole)


@pytest.mark.slow
def test_parameters_without_a_gradient_stay_without(tmp_path):
    """Adam steps on a gradient of zero, and leaves a parameter without one alone."""

    def begun():
        agent, _ = prune(
            dataset("vector-continuous"), "iql", 0.5, algo_params=params("vector-continuous", "iql")
        )
        return agent, Checkpoint(tmp_path, agent, dataset("vector-continuous"), (2,))

    agent, checkpoint = begun()
    agent.algo.update(dataset("vector-continuous").buffer.sample_transition_batch(16))
    stepped = [p for o in find_optimizers(agent.algo) for p in o._params]
    stepped[0].grad = None
    checkpoint.save(Progress(1, (), 0.0), None)
    resumed, found = begun()
    assert found.path == checkpoint.path
    assert found.restore() == Progress(1, (), 0.0)
    again = [p for o in find_optimizers(resumed.algo) for p in o._params]
    assert [p.grad is None for p in again] == [True] + [False] * (len(stepped) - 1)
    assert all(not p.grad.any() for p in again[1:])
