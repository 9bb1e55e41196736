"""Broken datasets are refused with the episode and the step."""

import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from offline_prune.data import load_dataset
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from offline_prune.errors import (
    ActionSpaceError,
    DatasetError,
    DatasetNotFoundError,
    EpisodeError,
    UnknownNameError,
)
from tests.data.test_alignment import write

BOX = spaces.Box(-np.inf, np.inf, (3,), np.float64)
UNIT = spaces.Box(-1, 1, (2,), np.float32)


def fields(length=6):
    rng = np.random.default_rng(0)
    flags = np.zeros((2, length), dtype=bool)
    flags[0, -1] = True
    return {
        "observations": rng.normal(size=(length + 1, 3)),
        "actions": rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        "rewards": rng.normal(size=length),
        "terminations": flags[0],
        "truncations": flags[1],
    }


def broken(name, change):
    found = fields()
    replaced = change(found[name])
    if replaced is not None:
        found[name] = replaced
    return found


def put(value, *where):
    def change(array):
        array[where] = value

    return change


CASES = {
    "NaN observation": ("observations", put(np.nan, 4, 1), "step 4: observations holds nan"),
    "infinite final observation": ("observations", put(np.inf, 6, 0), "step 6: observations"),
    "observation beyond float32": ("observations", put(1e300, 2, 0), "step 2: observations"),
    "NaN action": ("actions", put(np.nan, 3, 0), "step 3: actions"),
    "infinite reward": ("rewards", put(-np.inf, 5), "step 5: rewards"),
    "T observations": ("observations", lambda a: a[:-1], "observation after step 5 is missing"),
    "too many observations": ("observations", lambda a: np.tile(a, (2, 1)), "14 rows for 6"),
    "observation shape": ("observations", lambda a: a[:, :2], r"shape \(7, 2\)"),
    "observation dtype": ("observations", lambda a: a.astype(complex), "complex128"),
    "too few actions": ("actions", lambda a: a[:-1], "one row a step"),
    "action shape": ("actions", lambda a: a[:, :1], r"shape \(6, 1\)"),
    "integer actions": ("actions", lambda a: a.astype(int), "needs floats"),
    "reward vectors": ("rewards", lambda a: np.stack([a, a], 1), "one number a step"),
    "early termination": ("terminations", put(True, 2), "step 2: terminations is set"),
    "early truncation": ("truncations", put(True, 0), "step 0: truncations is set"),
}


@pytest.mark.parametrize("case", CASES)
def test_broken_episodes(case, tmp_path):
    name, change, message = CASES[case]
    good = EpisodeBuffer(**fields())
    write(tmp_path / "set", [good, EpisodeBuffer(**broken(name, change))])
    with pytest.raises(EpisodeError, match=message) as error:
        load_dataset(tmp_path / "set")
    assert "test/made-v0, episode 1" in str(error.value)


def test_scaled_images_in_a_space_of_bytes(tmp_path):
    frames = np.random.default_rng(0).uniform(size=(7, 4, 4, 3))
    episode = EpisodeBuffer(**fields() | {"observations": frames})
    space = spaces.Box(0, 255, (4, 4, 3), np.uint8)
    write(tmp_path / "set", [episode], observation_space=space)
    with pytest.raises(EpisodeError, match=r"observations is float64 .* declares uint8"):
        load_dataset(tmp_path / "set")


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 1, 7, 1, 0, 0], "step 2: action 7 is outside"),
        ([0, -1, 1, 1, 0, 0], "step 1: action -1"),
        ([0.5] * 6, "needs integers"),
    ],
)
def test_broken_discrete_actions(actions, message, tmp_path):
    episode = EpisodeBuffer(**fields() | {"actions": np.array(actions)})
    write(tmp_path / "set", [episode], action_space=spaces.Discrete(2))
    with pytest.raises(EpisodeError, match=message):
        load_dataset(tmp_path / "set")


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete([2, 2]),
        spaces.MultiBinary(2),
        spaces.Box(-1, 1, (2, 2), np.float32),
        spaces.Box(0, 5, (2,), np.int64),
        spaces.Dict(a=UNIT),
    ],
    ids=str,
)
def test_action_spaces_that_d3rlpy_cannot_train(space):
    with pytest.raises(ActionSpaceError, match="cannot train on the action space"):
        collect_episodes([], Origin(None, None, BOX, space, 0, 0))


def test_observation_spaces_that_are_no_arrays():
    space = spaces.Dict(a=BOX, b=spaces.Text(3))
    with pytest.raises(DatasetError, match="Text at b"):
        collect_episodes([], Origin(None, None, space, UNIT, 0, 0))


@pytest.mark.parametrize(
    ("episodes", "steps", "message"),
    [(1, 12, "12 steps in 1 episodes, .* hold more"), (2, 11, "11 steps .* hold more"),
     (2, 13, "13 steps, .* hold 12")],
)  # fmt: skip
def test_counts_that_are_not_those_of_the_episodes(episodes, steps, message):
    found = [RawEpisode(f"episode {i}", **fields()) for i in range(2)]
    with pytest.raises(DatasetError, match=message):
        collect_episodes(found, Origin(None, None, BOX, UNIT, episodes, steps))


def test_more_episodes_declared_than_there_are():
    found = collect_episodes(
        [RawEpisode("episode 0", **fields())], Origin(None, None, BOX, UNIT, 5, 6)
    )
    assert found.frames.shape == (7, 3)


def test_an_empty_dataset(tmp_path):
    write(tmp_path / "set", [])
    with pytest.raises(DatasetError, match="no transition"):
        load_dataset(tmp_path / "set")


def test_damaged_files(tmp_path):
    write(tmp_path / "set", [EpisodeBuffer(**fields())])
    file = tmp_path / "set" / "data" / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(DatasetError, match="damaged or incomplete"):
        load_dataset(tmp_path / "set")


def test_damaged_metadata(tmp_path):
    write(tmp_path / "set", [EpisodeBuffer(**fields())])
    (tmp_path / "set" / "data" / "metadata.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be opened"):
        load_dataset(tmp_path / "set")


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
def test_more_episodes_than_the_metadata_count(data_format, tmp_path):
    (tmp_path / "data").mkdir()
    storage = MinariStorage.new(tmp_path / "data", BOX, UNIT, data_format=data_format)
    storage.update_metadata({"dataset_id": "test/made-v0", "minari_version": "0.5.4"})
    storage.update_episodes([EpisodeBuffer(**fields(4)), EpisodeBuffer(**fields(6))])
    assert len(load_dataset(tmp_path)) == 10
    storage.update_metadata({"total_episodes": 1, "total_steps": 4})
    with pytest.raises(DatasetError, match="hold 2 episodes; its metadata count 1"):
        load_dataset(tmp_path)


def test_paths_that_are_no_dataset(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no dataset at"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="expected a folder"):
        load_dataset(tmp_path)
    (tmp_path / "file").write_text("text")
    with pytest.raises(DatasetError, match=r"file is \.npz or HDF5"):
        load_dataset(tmp_path / "file")


def test_unknown_ids_name_the_nearest():
    with pytest.raises(UnknownNameError, match="'pendulum/mixture-v0'"):
        load_dataset("pendulum/mixtur-v0")


def test_an_official_dataset_that_cannot_be_downloaded(monkeypatch):
    """Refused at once, with the way to get it; the loopback port answers nobody."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DatasetNotFoundError, match="minari download mujoco/hopper/expert-v0"):
        load_dataset("mujoco/hopper/expert-v0")


def test_other_objects_are_refused():
    with pytest.raises(DatasetError, match="a mapping of arrays or a path, not list"):
        load_dataset([])
