"""LeRobot's folders: written here as LeRobot lays them out, versions 2 and 3."""

import json
import os
import sys

import numpy as np
import pytest

from offline_prune import prune_then_train
from offline_prune.data import DatasetWarning, import_file, load_dataset
from offline_prune.errors import DatasetError, EpisodeError, OfflinePruneError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

LENGTHS = (5, 3, 4)
CAMERA = {"observation.images.top": {"dtype": "video", "shape": [48, 64, 3], "names": None}}
NO_REWARDS = "no rewards, which are 0 everywhere"


def frames(*, reward=True, done=True, truncated=False, state=4, action=2):
    """The columns of all frames."""
    rng = np.random.default_rng(0)
    n = sum(LENGTHS)
    last = np.cumsum(LENGTHS) - 1
    columns = {
        "observation.state": rng.normal(size=(n, state)).astype("f4"),
        "action": rng.uniform(-1, 1, (n, action)).astype("f4"),
        "episode_index": np.repeat(np.arange(len(LENGTHS)), LENGTHS),
        "frame_index": np.concatenate([np.arange(length) for length in LENGTHS]),
        "timestamp": np.concatenate([np.arange(length) / 10 for length in LENGTHS]).astype("f4"),
        "index": np.arange(n),
        "task_index": np.zeros(n, int),
    }
    if reward:
        columns["next.reward"] = rng.normal(size=n).astype("f4")
    if done:
        columns["next.done"] = np.isin(np.arange(n), last[:2])
    if truncated:
        columns["next.truncated"] = np.arange(n) == last[1]
    return columns


def column(values):
    """Vectors as lists of one length; features of one number as numbers."""
    values = np.asarray(values)
    if values.ndim == 1:
        return pa.array(values)
    if values.shape[1] == 1:
        return pa.array(values[:, 0])
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def written(folder, columns, *, version="v2.1", features=(), **info):
    """A folder: a file an episode in version 2, in version 3 several in one."""
    episodes = np.asarray(columns["episode_index"])
    arrays = {name: column(values) for name, values in columns.items()}
    is_v2 = version.startswith("v2")
    name = "chunk-000/episode_{:06d}.parquet" if is_v2 else "chunk-000/file-{:03d}.parquet"
    files = episodes if is_v2 else episodes // 2
    for i in np.unique(files):
        path = folder / "data" / name.format(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table(arrays).filter(pa.array(files == i)), path)
    declared = {
        name: {"dtype": str(np.asarray(v).dtype), "shape": list(np.shape(v)[1:]) or [1]}
        for name, v in columns.items()
    }
    (folder / "meta").mkdir(parents=True)
    content = {
        "codebase_version": version,
        "total_episodes": len(np.unique(episodes)),
        "total_frames": len(episodes),
        "fps": 10,
        "data_path": "/etc/{episode_index}.parquet",  # never followed
        "features": {**declared, **dict(features)},
        **info,
    }
    (folder / "meta" / "info.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
def test_episodes(version, tmp_path):
    columns = frames()
    data = load_dataset(written(tmp_path / "arm", columns, version=version))
    # Episode 2 has no flag: it was cut off, and what follows its last frame is not known.
    np.testing.assert_array_equal(data.observations, columns["observation.state"][:11])
    np.testing.assert_array_equal(data.actions, columns["action"][:11])
    np.testing.assert_array_equal(data.rewards, columns["next.reward"][:11])
    assert data.ends.tolist() == [5, 8, 11]
    assert np.flatnonzero(data.terminals).tolist() == [4, 7]
    assert np.flatnonzero(data.timeouts).tolist() == [10]
    assert data.metadata.rewards_recorded


def test_time_that_ran_out_is_no_termination(tmp_path):
    data = load_dataset(written(tmp_path, frames(truncated=True)))
    assert np.flatnonzero(data.terminals).tolist() == [4]
    assert data.ends.tolist() == [5, 7, 10]


def test_frames_in_any_order(tmp_path):
    columns = frames()
    ours = load_dataset(written(tmp_path / "kept", columns, version="v3.0"))
    order = np.random.default_rng(1).permutation(len(columns["index"]))
    mixed = {name: values[order] for name, values in columns.items()}
    data = load_dataset(written(tmp_path / "mixed", mixed, version="v3.0"))
    np.testing.assert_array_equal(data.frames, ours.frames)
    np.testing.assert_array_equal(data.rewards, ours.rewards)


def test_features_of_one_number_and_discrete_actions(tmp_path):
    columns = frames(state=1, action=1)
    data = load_dataset(written(tmp_path / "one", columns))
    assert (data.frames.shape[1:], data.actions.shape[1:]) == ((1,), (1,))
    columns["action"] = np.arange(sum(LENGTHS)) % 3
    data = load_dataset(written(tmp_path / "discrete", columns))
    assert (data.metadata.action_kind, data.metadata.action_size) == ("discrete", 3)


def test_flags_in_lists_of_one(tmp_path):
    folder = written(tmp_path, frames(action=1))
    ours = load_dataset(folder)
    for path in folder.rglob("*.parquet"):
        table = parquet.read_table(path)
        for name in ("next.done", "next.reward", "frame_index", "action"):
            at = table.schema.get_field_index(name)
            lists = pa.array([[value] for value in table.column(name).to_pylist()])
            table = table.set_column(at, name, lists)
        parquet.write_table(table, path)
    data = load_dataset(folder)
    np.testing.assert_array_equal(data.terminals, ours.terminals)
    np.testing.assert_array_equal(data.actions, ours.actions)
    np.testing.assert_array_equal(data.rewards, ours.rewards)


def test_demonstrations_without_rewards(tmp_path):
    folder = written(tmp_path / "arm", frames(reward=False, done=False))
    with pytest.warns(DatasetWarning, match=NO_REWARDS):
        data = load_dataset(folder)
    assert not data.rewards.any()
    assert not data.metadata.rewards_recorded
    assert len(data) == sum(LENGTHS) - len(LENGTHS)  # none of the last ones is known
    with pytest.warns(DatasetWarning, match=NO_REWARDS):
        imported = import_file(folder, "lerobot/arm-v0")
    assert "No rewards are recorded" in imported.storage.metadata["description"]
    with pytest.warns(DatasetWarning, match=NO_REWARDS):
        again = load_dataset("lerobot/arm-v0")
    np.testing.assert_array_equal(again.frames, data.frames)
    assert not again.metadata.rewards_recorded


def test_cameras_are_left_aside_where_there_are_states(tmp_path):
    columns = frames()
    ours = load_dataset(written(tmp_path / "without", columns))
    folder = written(tmp_path / "video", columns, features=CAMERA)
    with pytest.warns(DatasetWarning, match=r"images\.top \(video\) is left aside; policies see"):
        data = load_dataset(folder)
    np.testing.assert_array_equal(data.frames, ours.frames)
    # Images are in the parquet files themselves, as bytes.
    image = {"observation.image": {"dtype": "image", "shape": [2, 2, 3]}}
    folder = written(tmp_path / "image", columns, features=image)
    for path in folder.rglob("*.parquet"):
        table = parquet.read_table(path)
        pixels = pa.array([{"bytes": b"PNG", "path": None}] * len(table))
        parquet.write_table(table.append_column("observation.image", pixels), path)
    with pytest.warns(DatasetWarning, match=r"observation\.image \(image\) is left aside"):
        data = load_dataset(folder)
    np.testing.assert_array_equal(data.frames, ours.frames)


def test_cameras_alone_are_refused_by_name(tmp_path):
    columns = frames()
    del columns["observation.state"]
    folder = written(tmp_path, columns, features=CAMERA)
    with pytest.raises(DatasetError, match=r"no observation\.state; .*images\.top \(video\)"):
        load_dataset(folder)


def test_episodes_that_are_not_here_are_said(tmp_path):
    folder = written(tmp_path, frames(), total_episodes=50)
    with pytest.warns(DatasetWarning, match="holds 3 of the 50 episodes"):
        data = load_dataset(folder)
    assert data.metadata.episodes == 3


@pytest.mark.parametrize(
    ("row", "message"),
    [(1, "episode 0: frame 1 is missing"), (5, "episode 1: frame 0 is missing")],
)
def test_frames_that_are_missing(row, message, tmp_path):
    columns = {name: np.delete(values, row, axis=0) for name, values in frames().items()}
    with pytest.raises(EpisodeError, match=message):
        load_dataset(written(tmp_path, columns))


def test_an_episode_twice(tmp_path):
    columns = frames()
    columns["episode_index"][5:8] = 0
    with pytest.raises(EpisodeError, match="episode 0: frame 1 is missing or there twice"):
        load_dataset(written(tmp_path, columns))


def replace_column(name, values):
    """Other values in one file; None takes the column out."""

    def change(folder):
        path = min(folder.rglob("*.parquet"))
        table = parquet.read_table(path)
        table = table.remove_column(table.schema.get_field_index(name))
        if values is not None:
            table = table.append_column(name, pa.array((values * len(table))[: len(table)]))
        parquet.write_table(table, path)

    return change


def edit_info(**changes):
    def change(folder):
        path = folder / "meta" / "info.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def overwrite(pattern, content):
    def change(folder):
        next(folder.rglob(pattern)).write_bytes(content)

    return change


def no_files(folder):
    for path in folder.rglob("*.parquet"):
        path.unlink()


BROKEN = {
    "ragged": (replace_column("action", [[0.5], [0.5, 1.0]]), "lists have the lengths"),
    "a gap": (replace_column("action", [[0.5, None]]), "a value is missing"),
    "no vector": (replace_column("observation.state", [None]), "000000.parquet cannot be read"),
    "text": (replace_column("frame_index", ["one"]), "episode_index and frame_index are"),
    "other shape": (replace_column("action", [[0.5] * 3]), r"action is of the shapes \[\(2,\)"),
    "another shape": (replace_column("action", [1.0]), r"action is of the shapes \[\(\), \(2,"),
    "no column": (replace_column("action", None), "with the columns observation.state, action"),
    "NaN": (replace_column("action", [[float("nan"), 0.0]]), "step 0: actions holds nan"),
    "odd counter": (replace_column("episode_index", [0.5]), "episode_index and frame_index are"),
    "not parquet": (overwrite("*.parquet", b"PAR1"), "cannot be read"),
    "not JSON": (overwrite("info.json", b"{"), r"info\.json cannot be read"),
    "a list": (overwrite("info.json", b"[]"), r"info\.json cannot be read"),
    "no features": (edit_info(features=None), r"info\.json cannot be read"),
    "odd feature": (edit_info(features={"action": 5}), r"info\.json cannot be read"),
    "odd flags": (replace_column("next.done", [0.5]), r"row 0: next\.done holds 0\.5"),
    "version": (edit_info(codebase_version="v1.6"), "codebase version 'v1.6'; expected v2 or v3"),
    "no files": (no_files, r"holds no data/chunk-\*"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused(change, message, tmp_path, minari_root):
    folder = written(tmp_path / "arm", frames())
    change(folder)
    for load in (load_dataset, lambda path: import_file(path, "lerobot/broken-v0")):
        with pytest.raises(DatasetError, match=f"arm.*({message})"):
            load(folder)
    assert not (minari_root / "lerobot" / "broken-v0").exists()


def test_other_folders(tmp_path):
    with pytest.raises(DatasetError, match=r"no meta/info\.json"):
        import_file(tmp_path, "lerobot/other-v0")


def test_more_numbers_than_memory_holds(tmp_path, monkeypatch):
    folder = written(tmp_path, frames())
    # Eight bytes each: states, actions, two counters, a reward and a flag.
    need = 8 * sum(LENGTHS) * (4 + 2 + 2 + 2)
    monkeypatch.setattr(os, "sysconf", lambda name: need if name == "SC_PAGE_SIZE" else 1)
    load_dataset(folder)
    monkeypatch.setattr(os, "sysconf", lambda name: need - 1 if name == "SC_PAGE_SIZE" else 1)
    with pytest.raises(OfflinePruneError, match="GiB of memory"):
        load_dataset(folder)


def test_a_file_without_rows(tmp_path):
    folder = written(tmp_path, frames())
    ours = load_dataset(folder)
    path = min(folder.rglob("*.parquet"))
    parquet.write_table(parquet.read_table(path).slice(0, 0), path.with_name("empty.parquet"))
    np.testing.assert_array_equal(load_dataset(folder).frames, ours.frames)
    for other in folder.rglob("episode*.parquet"):
        other.unlink()
    with pytest.raises(DatasetError, match="holds no frame"):
        load_dataset(folder)


def test_the_package_that_reads_it_is_named(tmp_path, monkeypatch):
    folder = written(tmp_path, frames())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DatasetError, match=r"pip install \"offline-prune\[lerobot\]\""):
        load_dataset(folder)


def test_a_folder_from_the_command_line(run, tmp_path):
    folder = written(tmp_path / "arm", frames())
    code, printed, _ = run("import", folder, "lerobot/cli-v0")
    assert (code, "11 steps in 3 episodes" in printed) == (0, True)
    code, printed, error = run(
        "run", folder, "--algo", "bc", "--sparsity", ".5", "--steps", 2, "--json",
        "--param", "batch_size=4", "--param", "hidden_units=[8,8]",
    )  # fmt: skip
    assert code == 0, error
    assert json.loads(printed)["mean_return"] is None


def test_demonstrations_train(tmp_path):
    folder = written(tmp_path, frames(reward=False))
    params = {"hidden_units": [8, 8], "batch_size": 4}
    with pytest.warns(DatasetWarning, match=NO_REWARDS):
        result = prune_then_train(folder, "bc", 0.5, n_steps=2, algo_params=params, progress=False)
    assert "not evaluated" in str(result.evaluation)
