"""What people really bring: buffers with pickers, odd ranges, orders, layouts, returns, worlds.

Each is read right, said aloud or refused by name; nothing else.
"""

import copy
import io
import itertools
import pickle
import shutil
import warnings

import d3rlpy
import gymnasium
import h5py
import numpy as np
import pytest
import torch
from d3rlpy.dataset import (
    BasicTransitionPicker,
    Episode,
    FrameStackTransitionPicker,
    InfiniteBuffer,
    MDPDataset,
    MultiStepTransitionPicker,
    ReplayBuffer,
    SparseRewardTransitionPicker,
)
from gymnasium.envs.registration import EnvSpec
from hypothesis import given
from hypothesis import strategies as st

from offline_prune import evaluate, load_dataset, prune, prune_then_train
from offline_prune.agents import Agent
from offline_prune.agents.build import build_agent
from offline_prune.data import ObservationLayout, import_file
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from offline_prune.data.made.store import local_path
from offline_prune.errors import DatasetError
from tests.hardening.cases import cases
from tests.hardening.time_limit import within
from tests.worlds import CONTINUOUS, ROUNDS, dataset, params

NUMBER = itertools.count()
SEEDS = st.integers(0, 2**32 - 1)
SMALL = {"hidden_units": [8, 8], "batch_size": 4}


@cases(60)
@given(
    st.sampled_from(["basic", "stack", "steps", "sparse"]), st.integers(1, 6),
    st.sampled_from([(3,), (1, 8, 8), (2, 9, 7)]), SEEDS,
)  # fmt: skip
def test_a_buffer_yields_what_d3rlpy_draws_of_it(kind, n, shape, seed):
    rng = np.random.default_rng(seed)
    picker = {
        "basic": BasicTransitionPicker,
        "stack": lambda: FrameStackTransitionPicker(n),
        "steps": lambda: MultiStepTransitionPicker(n, 0.9),
        "sparse": lambda: SparseRewardTransitionPicker(-1.0),
    }[kind]()
    episodes = []
    for _ in range(rng.integers(1, 4)):
        length = int(rng.integers(2, 7))
        if len(shape) == 3:
            seen = rng.integers(0, 256, (length, *shape)).astype("u1")
        else:
            seen = rng.normal(size=(length, *shape)).astype("f4")
        actions = rng.uniform(-1, 1, (length, 2)).astype("f4")
        rewards = rng.normal(size=(length, 1)).astype("f4")
        episodes.append(Episode(seen, actions, rewards, bool(rng.integers(2))))
    source = ReplayBuffer(InfiniteBuffer(), transition_picker=picker, episodes=episodes)
    data = load_dataset(source)
    assert len(data) == source.transition_count
    for i in range(len(data)):
        ours, theirs = data.buffer.transition_at(i), picker(*source.buffer[i])
        for name in (
            "observation", "next_observation", "action", "next_action", "terminal", "interval",
        ):  # fmt: skip
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_array_equal(ours.reward, theirs.reward.astype("f4"))


@cases(60)
@given(
    st.floats(-200, 200), st.floats(0, 200),
    st.sampled_from(["none", "wide", "own", "unit", "off"]), SEEDS,
)  # fmt: skip
def test_policies_reach_the_actions_of_the_data(low, width, declared, seed):
    rng = np.random.default_rng(seed)
    actions = rng.uniform(low, low + width, (40, 2)).astype("f4")
    least, most = actions.min(0), actions.max(0)
    box = {
        "none": (np.full(2, -np.inf), np.full(2, np.inf)),
        "wide": (least - 50, most + 50),
        "own": (least, most),
        "unit": (-np.ones(2), np.ones(2)),
        "off": (least + 0.3 * width, most + 1.0),
    }[declared]
    space = gymnasium.spaces.Box(*(np.asarray(b, "f4") for b in box))
    end = np.arange(40) == 39
    seen = rng.normal(size=(41, 3)).astype("f4")
    episode = RawEpisode("", seen, actions, rng.normal(size=40), np.zeros(40, bool), end)
    unbounded = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    data = collect_episodes([episode], Origin(None, None, unbounded, space, 1, 40))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaler = build_agent(data, "bc", algo_params=SMALL).agent.algo.config.action_scaler
    scaled = actions if scaler is None else scaler.transform_numpy(actions)
    assert np.abs(scaled).max() <= 1.01
    if scaler is not None and declared != "wide" and width > 1e-3:
        assert np.abs(scaled).max() >= 0.49  # and no small part of the range is all there is


@cases(60)
@given(
    st.sampled_from(["kept", "in turn", "shuffled"]), st.booleans(), st.booleans(), st.booleans(),
    SEEDS,
)  # fmt: skip
def test_imports_join_no_strangers(tmp_path_factory, order, marked, following, cut, seed):
    rng = np.random.default_rng(seed)
    episodes, length = int(rng.integers(2, 5)), int(rng.integers(2, 8))
    n = episodes * length
    seen = rng.normal(size=(n, 3)).astype("f4")
    ahead = np.roll(seen, -1, 0)
    ends = np.arange(n) % length == length - 1
    ahead[ends] = rng.normal(size=(episodes, 3))
    rows = {
        "kept": np.arange(n),
        "in turn": np.arange(n).reshape(episodes, length).T.ravel(),
        "shuffled": rng.permutation(n),
    }[order]
    pairs = {(tuple(a), tuple(b)) for a, b in zip(seen, ahead, strict=True)}
    path, name = tmp_path_factory.mktemp("import") / "file.h5", f"field/n{next(NUMBER)}-v0"
    with h5py.File(path, "w") as file:
        file["observations"], file["rewards"] = seen[rows], np.zeros(n)
        file["actions"], file["terminals"] = rng.uniform(-1, 1, (n, 1)), np.zeros(n)
        if marked:
            file["timeouts"] = ends[rows]
        if following:
            file["next_observations"] = ahead[rows]
    try:
        data = load_dataset(import_file(path, name, cut_at_jumps=cut))
    except DatasetError:
        assert order != "kept" or not marked or (cut and not following)
        return
    shutil.rmtree(local_path(name))
    if following:  # what is not recorded cannot be checked
        found = zip(data.observations, data.next_observations, strict=True)
        assert all((tuple(a), tuple(b)) in pairs for a, b in found)
        assert len(data) == n


@cases(120)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.sampled_from(["u1", "?", "i1", "f4", "f8"]), SEEDS,
)  # fmt: skip
def test_every_layout_keeps_every_number(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    high = {"u1": 255, "?": 1, "i1": 100}.get(dtype, np.inf)
    low = 0 if dtype in ("u1", "?") else -high
    space = gymnasium.spaces.Box(low, high, tuple(shape), np.dtype(dtype))
    layout = ObservationLayout.of(space)
    batch = rng.integers(0, 2 if dtype == "?" else 100, (2, *shape)).astype(dtype)
    found = layout.flatten(batch, 2)
    assert found.shape == (2, *layout.shape)
    assert str(layout)
    for ours, theirs in zip(found, batch, strict=True):
        np.testing.assert_array_equal(np.sort(ours, None), np.sort(theirs.astype("f8"), None))


@cases(25)
@given(
    st.sampled_from(["iql", "bc", "td3_plus_bc"]), st.sampled_from([0.0, 1.0, 40.0, -3.0]),
    st.sampled_from([None, "min_max", "return", "standard"]), st.floats(0, 1e-9), SEEDS,
)  # fmt: skip
def test_equal_returns_train_or_are_refused(algo, value, scaler, noise, seed):
    rng = np.random.default_rng(seed)
    rewards = np.zeros(30, "f4")
    rewards[9::10] = value + noise * rng.normal(size=3)
    ends = np.zeros(30, "f4")
    ends[9::10] = 1.0
    source = MDPDataset(rng.normal(size=(30, 3)).astype("f4"),
                        rng.uniform(-1, 1, (30, 2)).astype("f4"), rewards, ends)  # fmt: skip
    chosen = {} if scaler is None or algo == "bc" else {"reward_scaler": {"type": scaler}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = prune_then_train(source, algo, 0.5, n_steps=3, evaluate=0, progress=False,
                                  algo_params=SMALL | chosen)  # fmt: skip
    assert all(np.isfinite(list(row.values())).all() for row in result.history)


def through_torch(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "copy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "torch": through_torch,
    "twice": lambda value: copy.deepcopy(copy.deepcopy(value)),
}


def zeros_hold(algo, mask):
    weights = Agent.of(algo).weights
    return all(not weights[name][~kept].any() for name, kept in mask.items())


@pytest.mark.filterwarnings("ignore::offline_prune.masks.collapse.LayerCollapseWarning")
@cases(30)
@given(
    st.sampled_from(CONTINUOUS), st.sampled_from(["snip", "gmp(interval=2)", "rigl(interval=3)",
    "set(interval=2)", ROUNDS["snip_flow"]]), st.sampled_from(["auto", "masked", "compact"]),
    st.sampled_from(["standard", "sparse"]), st.sampled_from([None, "tail"]),
    st.sampled_from(sorted(COPIES)), st.integers(0, 7), st.integers(1, 4), SEEDS,
)  # fmt: skip
def test_whenever_it_is_copied_a_copy_is_the_same_and_its_zeros_stay(
    tmp_path_factory, algo, method, engine, parameterization, averaging, way, before, after, seed
):
    data, copied = dataset("vector-continuous"), COPIES[way]
    chosen = {
        "method": method, "engine": engine, "parameterization": parameterization, "seed": seed,
        "algo_params": params("vector-continuous", algo), "n_steps": 8,
    }  # fmt: skip
    batches = [data.buffer.sample_transition_batch(16) for _ in range(before + after)]

    def train(algo, steps):
        for step in steps:
            torch.manual_seed(step)
            algo.update(batches[step])

    def acts(algo):
        torch.manual_seed(0)  # BCQ draws actions
        return algo.predict(data.observations[:8])

    agent, _ = prune(data, algo, 0.8, **chosen)
    train(agent.algo, range(before))
    # The algorithm alone, as a callback sees it: plain, and d3rlpy can save and load it.
    plain = copied(agent.algo)
    path = str(tmp_path_factory.mktemp("copies") / "plain.d3")
    plain.save(path)
    np.testing.assert_allclose(acts(d3rlpy.load_learnable(path)), acts(plain))
    np.testing.assert_allclose(acts(plain), acts(agent.algo), rtol=1e-4, atol=1e-5)
    assert zeros_hold(plain, agent.engine.mask.nominal)
    # The agent: held, and the same afterwards.
    other = copied(agent)
    train(agent.algo, range(before, before + after))
    train(other.algo, range(before, before + after))
    assert other.finish() == agent.finish()
    np.testing.assert_allclose(acts(other.algo), acts(agent.algo), rtol=1e-3, atol=1e-4)
    # The result: held as well.
    result = prune_then_train(data, algo, 0.8, evaluate=0, progress=False,
                              averaging=averaging, **chosen)  # fmt: skip
    third = copied(result)
    assert third.to_dict() == result.to_dict()
    np.testing.assert_array_equal(acts(third.algo), acts(result.algo))
    train(third.algo, range(after))
    assert zeros_hold(third.algo, result.mask.connected)
    third.save(tmp_path_factory.mktemp("copies") / "run")


class Faulty(gymnasium.Env):
    """Goes wrong in one step, in one way."""

    observation_space = gymnasium.spaces.Box(-1, 1, (5,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    step_of_fault, fault = 0, None

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(5, "f4"), {}

    def step(self, action):
        self.t += 1
        answer = [np.zeros(5, "f4"), 1.0, False, False, {}]
        if self.t == self.step_of_fault:
            if isinstance(self.fault, BaseException):
                raise self.fault
            place, value = self.fault
            answer[place] = value
        return tuple(answer)


FAULTS = [
    RuntimeError("x"), AssertionError(), KeyError("k"), OSError(5, "gone"), ZeroDivisionError(),
    (0, None), (0, np.zeros(4)), (0, "words"), (1, float("nan")), (1, float("inf")), (1, None),
    (1, "many"),
]  # fmt: skip


@cases(40)
@given(st.sampled_from(FAULTS), st.integers(1, 20))
def test_whatever_an_environment_does_it_is_said(fault, step):
    spec = EnvSpec("Faulty-v0", entry_point=Faulty)
    gymnasium.registry["Faulty-v0"] = spec
    Faulty.fault, Faulty.step_of_fault = fault, step
    try:  # the registry is everybody's
        rng = np.random.default_rng(0)
        end = np.arange(12) == 11
        episode = RawEpisode("", rng.normal(size=(13, 5)).astype("f4"),
                             rng.uniform(-1, 1, (12, 2)).astype("f4"), rng.normal(size=12),
                             np.zeros(12, bool), end)  # fmt: skip
        origin = Origin(None, spec, Faulty.observation_space, Faulty.action_space, 1, 12)
        data = collect_episodes([episode], origin)
        algo = build_agent(data, "bc", algo_params=SMALL).agent.algo
        with within(20):
            found = evaluate(algo, data.metadata, 2)
    finally:
        del gymnasium.registry["Faulty-v0"]
    if step > 12:  # the longest episode of the data
        assert found.returns == (12.0, 12.0)
        assert found.cut == 2
    else:
        assert f"Faulty-v0 failed in step {step} " in found.reason
