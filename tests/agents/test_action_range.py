"""Actions outside what policies put out: scaled by the data's bounds and said, or refused."""

import gymnasium
import numpy as np
import pytest
from d3rlpy.algos import BCConfig, TD3PlusBCConfig
from d3rlpy.dataset import MDPDataset
from d3rlpy.preprocessing import MinMaxActionScaler

from offline_prune import load_dataset, prune_then_train
from offline_prune.agents.action_range import ActionRangeWarning
from offline_prune.agents.build import build_agent
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from offline_prune.errors import AlgorithmError, DatasetError, EpisodeError
from tests.worlds import CONTINUOUS

N = 60


def observations():
    return np.random.default_rng(0).normal(size=(N, 3)).astype("f4")


def rewards():
    return np.random.default_rng(2).normal(size=N).astype("f4")


def arrays(actions):
    """A d3rlpy dataset of these actions, which declares no bounds."""
    ends = np.zeros(N, "f4")
    ends[9::10] = 1.0
    return MDPDataset(observations(), actions.astype("f4"), rewards(), ends)


def recorded(actions, low, high):
    """Two truncated episodes of an environment that declares a box of actions."""
    seen = observations()
    end = np.arange(N) == N - 1
    half = N // 2
    end[half - 1] = True
    episodes = [
        RawEpisode(f"episode {i}", np.concatenate([seen[rows], seen[:1]]),
                   actions[rows].astype("f4"), rewards()[rows], ~end[rows] & False, end[rows])
        for i, rows in enumerate((slice(half), slice(half, N)))
    ]  # fmt: skip
    space = gymnasium.spaces.Box(np.float32(low), np.float32(high), (actions.shape[1],))
    seen_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    return collect_episodes(episodes, Origin(None, None, seen_space, space, 2, N))


def spread(low, high):
    """Actions that reach both bounds, in two components."""
    rng = np.random.default_rng(1)
    actions = rng.uniform(low, high, (N, 2)).astype("f4")
    actions[0], actions[1] = low, high
    return actions


def bounds(data, algo="bc", **params):
    scaler = build_agent(data, algo, algo_params=params).agent.algo.config.action_scaler
    return None if scaler is None else (scaler.minimum.tolist(), scaler.maximum.tolist())


@pytest.mark.parametrize(
    "data",
    [
        lambda: load_dataset(arrays(spread(30, 70))),
        lambda: recorded(spread(30, 70), -np.inf, np.inf),
        lambda: recorded(spread(30, 70), -1, 1),
        lambda: recorded(spread(30, 70), 35, 70),
    ],
    ids=["arrays", "unbounded", "wrongly declared", "half declared"],
)
@pytest.mark.parametrize("algo", CONTINUOUS)
def test_data_beyond_the_box_are_scaled_by_their_own_bounds(data, algo):
    with pytest.warns(ActionRangeWarning, match="30, 70"):
        assert bounds(data(), algo) == ([30, 30], [70, 70])


def test_who_gives_bounds_is_not_told_of_others():
    own = MinMaxActionScaler(minimum=[0, 0], maximum=[90, 90])
    assert bounds(load_dataset(arrays(spread(30, 70))), action_scaler=own) == ([0, 0], [90, 90])


@pytest.mark.slow
def test_a_policy_learns_such_actions():
    with pytest.warns(ActionRangeWarning):
        result = prune_then_train(arrays(spread(30, 70)), "bc", 0.5, n_steps=300, evaluate=0,
                                  progress=False)  # fmt: skip
    predicted = result.algo.predict(observations())
    assert np.abs(predicted - 50).mean() < 20
    assert (predicted >= 30).all()
    assert (predicted <= 70).all()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (lambda: load_dataset(arrays(spread(-1, 1))), None),
        (lambda: load_dataset(arrays(spread(-0.2, 1.0005))), None),
        (lambda: recorded(spread(-0.5, 0.5), -np.inf, np.inf), None),
        (lambda: recorded(spread(-1, 1), -1, 1), None),
        (lambda: recorded(spread(30, 70), 0, 100), ([0, 0], [100, 100])),
        (lambda: recorded(spread(0, 100.05), 0, 100), ([0, 0], [100, 100])),
    ],
)
def test_data_within_their_bounds_are_left_alone(data, expected):
    assert bounds(data()) == expected


def test_a_component_that_never_changes_has_room():
    actions = spread(30, 70)
    actions[:, 1] = 7
    with pytest.warns(ActionRangeWarning, match="6, 8"):
        assert bounds(load_dataset(arrays(actions))) == ([30, 6], [70, 8])


def test_a_component_without_a_range_has_room_too():
    actions = spread(30, 70)
    actions[:, 1] = 7
    data = recorded(actions, [0, 7], [100, 7])
    assert bounds(data, "cql") == ([0, 6], [100, 8])


@pytest.mark.parametrize("config", [BCConfig, TD3PlusBCConfig])
@pytest.mark.parametrize("made", [False, True], ids=["config", "algorithm"])
def test_an_algorithm_of_ones_own_that_cannot_reach_the_data_is_refused(config, made):
    data = load_dataset(arrays(spread(30, 70)))
    for scaler in (None, MinMaxActionScaler(minimum=[0, 0], maximum=[50, 50])):
        given = config(action_scaler=scaler)
        with pytest.raises(AlgorithmError, match=r"\[30, 70\] × \[30, 70\]"):
            build_agent(data, given.create() if made else given)
    for scaler in (MinMaxActionScaler(), MinMaxActionScaler(minimum=[0, 0], maximum=[90, 90])):
        given = config(action_scaler=scaler)
        build_agent(data, given.create() if made else given)


def labels(found, size=3):
    ends = np.zeros(N, "f4")
    ends[9::10] = 1.0
    return MDPDataset(observations(), found, np.ones(N, "f4"), ends, action_size=size)


@pytest.mark.parametrize("wrong", [3, -1])
def test_labels_beyond_the_actions_are_refused(wrong):
    found = np.random.default_rng(0).integers(0, 3, (N, 1))
    found[7] = wrong
    with pytest.raises(EpisodeError, match=f"step 7: action {wrong} "):
        load_dataset(labels(found))


def test_one_hot_labels_are_refused():
    found = np.eye(3, dtype=int)[np.random.default_rng(0).integers(0, 3, N)]
    with pytest.raises(EpisodeError, match="integers of shape"):
        load_dataset(labels(found))


def test_one_hot_labels_as_floats_are_refused_too():
    found = np.eye(3)[np.random.default_rng(0).integers(0, 3, N)]
    with pytest.raises(DatasetError, match=r"one-hot rows of 3 numbers.*argmax"):
        recorded(found, 0, 1)
    with pytest.raises(EpisodeError, match="integers of shape"):
        load_dataset(arrays(found))  # d3rlpy takes whole numbers for labels
    found[7] = 0.5
    recorded(found, 0, 1)
    recorded(np.tile([1.0, 0.0], (N, 1)), 0, 1)  # a constant action is one
