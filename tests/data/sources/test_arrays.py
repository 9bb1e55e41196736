"""Rows of transitions as arrays: what their names mean, and that files of them are the same."""

import itertools
import shutil
import zipfile

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from offline_prune import prune_then_train
from offline_prune.data import DatasetWarning, import_file, load_dataset
from offline_prune.data.made.store import local_path
from offline_prune.errors import DatasetError, OfflinePruneError
from tests.hardening import broken_datasets as world
from tests.hardening.cases import cases

N = 12
TERMINAL, CUT = (3, 9), (7,)  # rows 10 and 11 are cut off by the end
NUMBER = itertools.count()


def rows(n=N):
    """Twelve rows of three marked episodes and one that is cut off."""
    rng = np.random.default_rng(0)
    return {
        "observations": rng.normal(size=(n, 3)).astype("f4"),
        "actions": rng.uniform(-1, 1, (n, 2)).astype("f4"),
        "rewards": rng.normal(size=n).astype("f4"),
        "terminals": np.isin(np.arange(n), TERMINAL),
        "timeouts": np.isin(np.arange(n), CUT),
    }


def following(arrays):
    """True next observations: the next row's, but at ends, where they are others."""
    ahead = np.roll(arrays["observations"], -1, axis=0)
    ends = [*TERMINAL, *CUT, N - 1]
    ahead[ends] = np.random.default_rng(1).normal(size=(len(ends), 3))
    return ahead


def renamed(arrays, **names):
    return {names.get(name, name): values for name, values in arrays.items()}


def same(one, other):
    """Every array of two datasets, bit for bit."""
    for name in ("frames", "actions", "rewards", "terminals", "timeouts", "ends"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), name
        assert ours.tobytes() == theirs.tobytes(), name
    for name in ("observation_space", "action_space", "mean_return", "longest_episode"):
        assert getattr(one.metadata, name) == getattr(other.metadata, name), name
    return True


def test_episodes():
    arrays = rows()
    data = load_dataset(arrays)
    # What follows rows 7 and 11 is not known.
    kept = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    np.testing.assert_array_equal(data.observations, arrays["observations"][kept])
    np.testing.assert_array_equal(data.actions, arrays["actions"][kept])
    np.testing.assert_array_equal(data.rewards, arrays["rewards"][kept])
    assert np.flatnonzero(data.terminals).tolist() == [3, 8]
    assert np.flatnonzero(data.timeouts).tolist() == [6, 9]
    assert (data.metadata.dataset_id, data.metadata.env_spec) == (None, None)


def test_the_dataset_is_fixed():
    arrays = rows()
    data = load_dataset(arrays)
    before = data.observations
    arrays["observations"][:] = 0
    np.testing.assert_array_equal(data.observations, before)


def test_true_next_observations_are_used():
    arrays = rows()
    arrays["next_observations"] = following(arrays)
    data = load_dataset(arrays)
    assert len(data) == N
    np.testing.assert_array_equal(data.next_observations, arrays["next_observations"])


SPELLINGS = {
    "d4rl": {},
    "neorl": {"observations": "obs", "actions": "action", "rewards": "reward",
              "next_observations": "next_obs", "terminals": "done", "timeouts": "truncated"},
    "gymnasium": {"terminals": "terminations", "timeouts": "truncations"},
    "a step's": {"terminals": "terminated", "timeouts": "truncated"},
}  # fmt: skip


@pytest.mark.parametrize("names", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_is_the_same(names):
    arrays = rows()
    arrays["next_observations"] = following(arrays)
    assert same(load_dataset(renamed(arrays, **names)), load_dataset(arrays))


def test_d3rlpys_ends_are_of_either_sort():
    arrays = rows()
    ours = load_dataset(arrays)
    arrays["episode_terminals"] = arrays.pop("timeouts") | arrays["terminals"]
    assert same(load_dataset(arrays), ours)


@pytest.mark.parametrize("index", [[0, 4, 8, 10], [4, 8, 10], [4, 8, 10, 12]])
def test_neorls_index_says_where_episodes_begin(index):
    arrays = rows()
    ours = load_dataset(arrays)
    del arrays["timeouts"]
    assert same(load_dataset({**arrays, "index": np.array(index)}), ours)
    assert same(load_dataset({**rows(), "index": np.array(index)}), ours)


@pytest.mark.parametrize("index", [np.arange(N), [0, 8, 4], [0, 13], [-1, 4], [[0, 4]], [0, 4, 4]])
def test_an_index_of_something_else(index):
    with pytest.raises(DatasetError, match=r"index is .* rows at which episodes begin"):
        load_dataset({**rows(), "index": np.array(index)})


def test_whatever_is_an_array(tmp_path):
    arrays = rows()
    ours = load_dataset(arrays)
    assert same(load_dataset({name: values.tolist() for name, values in arrays.items()}), ours)
    assert same(load_dataset({k: torch.tensor(values) for k, values in arrays.items()}), ours)
    columns = {k: v[:, None] if v.ndim == 1 else v for k, v in arrays.items()}
    assert same(load_dataset(columns), ours)
    swapped = {k: v.astype(v.dtype.newbyteorder(">")) for k, v in arrays.items()}
    assert same(load_dataset(swapped), ours)
    np.savez(tmp_path / "rows.npz", **arrays)
    with np.load(tmp_path / "rows.npz") as archive:
        assert same(load_dataset(archive), ours)


def test_discrete_actions_and_images():
    rng = np.random.default_rng(0)
    arrays = {**rows(), "actions": np.arange(N) % 3}
    arrays["observations"] = rng.integers(0, 256, (N, 40, 36, 3)).astype("u1")
    data = load_dataset(arrays)
    assert (data.metadata.action_kind, data.metadata.action_size) == ("discrete", 3)
    assert (data.frames.shape[1:], data.frames.dtype) == ((3, 40, 36), np.uint8)
    assert load_dataset(arrays, images="channels_first").frames.shape[1:] == (40, 36, 3)


def changed(**changes):
    found = {**rows(), **changes}
    return {name: values for name, values in found.items() if values is not None}


OBJECTS = np.array([[0.5, None]] * N, dtype=object)
RAGGED = [[0.5]] * (N - 1) + [[0.5, 0.5]]
REFUSED = {
    "two names": (changed(done=np.zeros(N)), "terminals and done are names of one field"),
    "two ends": (changed(episode_terminals=np.ones(N)), "timeouts and episode_terminals are names"),
    "another length": (changed(rewards=np.zeros(5)), r"12 rows of observations.*'rewards': 5"),
    "no rewards": (changed(rewards=None), "lacks rewards; it holds actions, observations"),
    "no terminals": (changed(terminals=None), "lacks terminals.* never terminates are 0"),
    "objects": (changed(observations=OBJECTS), r"observations is object of shape \(12, 2\)"),
    "text": (changed(rewards=np.array(["1"] * N)), "rewards is <U1 of shape"),
    "complex": (changed(actions=np.ones((N, 2), complex)), "actions is complex128"),
    "ragged": (changed(actions=RAGGED), "actions cannot be read as an array of numbers"),
    "a number": (changed(rewards=1.0), r"rewards is float64 of shape \(\)"),
    "nothing there": (changed(rewards=[None] * N), "rewards is object"),
    "nested": (changed(observations={"goal": np.ones(N)}), "observations is {'goal'"),
    "no end": (changed(terminals=np.zeros(N), timeouts=None), "marks no end.*episode_length=…"),
    "no flag": (changed(terminals=np.full(N, 0.5)), "row 0: terminals holds 0.5"),
    "no rows": ({name: values[:0] for name, values in rows().items()}, "at least one"),
    "NaN": (changed(rewards=np.full(N, np.nan)), ", episode 0, step 0: rewards holds nan"),
    "strange keys": ({1: np.ones(3), None: 2}, "lacks observations.*it holds 1, None"),
}  # fmt: skip


@pytest.mark.parametrize(("arrays", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(arrays, message):
    with pytest.raises(DatasetError, match=f"(?s)This mapping.*{message}"):
        load_dataset(arrays)


def test_what_is_left_aside_is_said(tmp_path):
    for kind, writer in WRITERS.items():
        path = writer({**rows(), "cost": np.zeros(N)}, tmp_path / f"rows.{kind}")
        with pytest.raises(DatasetWarning, match="cost is left aside"):  # an error in the tests
            load_dataset(path)
    with pytest.warns(DatasetWarning, match="cost, q are left aside") as said:
        load_dataset({**rows(), "cost": np.zeros(N), "q": 1})
    assert len(said) == 1
    # What D4RL's and d3rlpy's files hold besides needs no word: warnings are errors here.
    harmless = {"infos/goal": np.zeros(N), "metadata/algorithm": b"SAC", "discrete_action": False,
                "version": "1.0", "infos": {}, "metadata": {}}  # fmt: skip
    assert same(load_dataset({**rows(), **harmless}), load_dataset(rows()))


def test_a_done_that_may_be_a_time_limit():
    arrays = renamed(rows(), terminals="done")
    arrays["done"] = np.arange(N) % 4 == 3
    del arrays["timeouts"]
    said_besides = (
        {"timeouts": np.zeros(N)},
        {"index": [0, 4, 8]},
        {"episode_terminals": arrays["done"]},
    )
    for besides in ({}, *said_besides):
        with pytest.warns(DatasetWarning, match="all 3 episodes are done after exactly 4 steps"):
            data = load_dataset({**arrays, **besides})
        assert data.terminals.sum() == 3
    load_dataset(renamed(arrays, done="terminals"))  # D4RL's mean what they say
    arrays["done"][6] = True
    load_dataset(arrays)


def test_lengths_and_jumps():
    arrays = rows()
    del arrays["timeouts"]
    arrays["terminals"] = np.zeros(N)
    assert load_dataset(arrays, episode_length=4).metadata.episodes == 3
    arrays["next_observations"] = following(rows())
    with pytest.raises(DatasetError, match=r"of 3 of 12 rows .*cut_at_jumps=True"):
        load_dataset(arrays)
    assert load_dataset(arrays, cut_at_jumps=True).ends.tolist() == [4, 8, 10, 12]


@pytest.mark.parametrize(
    "options", [{"env": "CartPole-v1"}, {"episode_length": 3}, {"cut_at_jumps": True}]
)
def test_options_of_rows_are_of_rows_alone(options):
    for source in ("pendulum/mixture-v0", load_dataset(rows())):
        with pytest.raises(DatasetError, match="say what recorded transitions"):
            load_dataset(source, **options)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"env": 5}, "env"), ({"env": "NoSuch-v0"}, "NoSuch"), ({"episode_length": 0}, "episode_le"),
     ({"cut_at_jumps": "no"}, "cut_at_jumps"), ({"env": "CartPole-v1"}, "actions are float32")],
)  # fmt: skip
def test_wrong_options(options, named):
    arrays = rows()
    arrays["observations"] = np.tile(arrays["observations"], 2)[:, :4]
    with pytest.raises(OfflinePruneError, match=named):
        load_dataset(arrays, **options)


# --- Files -------------------------------------------------------------------------------


def written_hdf5(arrays, path):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def written_npz(arrays, path):
    np.savez_compressed(path, **arrays)
    return path


WRITERS = {"h5": written_hdf5, "npz": written_npz}


@pytest.mark.parametrize("kind", WRITERS)
def test_files_load_and_import_as_their_arrays(kind, tmp_path):
    arrays = rows()
    ours = load_dataset(arrays)
    path = WRITERS[kind](arrays, tmp_path / f"rows.{kind}")
    assert same(load_dataset(path), ours)
    assert same(load_dataset(str(path)), ours)
    assert same(load_dataset(import_file(path, f"arrays/{kind}-v0")), ours)


def test_an_episode_longer_than_the_environments():
    arrays = {
        "observations": np.zeros((600, 4), "f4"),
        "actions": np.zeros(600, int),
        "rewards": np.ones(600),
        "terminals": np.arange(600) == 599,
    }
    with pytest.raises(DatasetError, match=r"episode of 600 steps; CartPole-v1 .* after 500"):
        load_dataset(arrays, env="CartPole-v1")
    assert load_dataset(arrays, env="CartPole-v1", episode_length=500).metadata.episodes == 2


class Payload:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize("whole", [True, False])
def test_pickles_in_an_npz_are_not_opened(whole, tmp_path, capsys, minari_root):
    path = tmp_path / "rows.npz"
    pickled = np.array([Payload()] * N, dtype=object)
    if whole:
        with path.open("wb") as file:
            np.save(file, pickled)
    else:
        np.savez(path, **{**rows(), "observations": pickled})
    for load in (load_dataset, lambda p: import_file(p, "arrays/pickled-v0")):
        with pytest.raises(DatasetError, match=r"rows\.npz"):
            load(path)
    assert "unpickled" not in capsys.readouterr().out
    assert not (minari_root / "arrays" / "pickled-v0").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_damaged_archives(share, tmp_path):
    path = written_npz(rows(), tmp_path / "rows.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match=r"rows\.npz cannot be read as an npz archive"):
        load_dataset(path)
    path.write_bytes(content[:200] + bytes(50) + content[250:])
    with pytest.raises(DatasetError, match=r"rows\.npz"):
        load_dataset(path)


def test_an_archive_beyond_memory(tmp_path):
    path = tmp_path / "rows.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in rows():
            archive.writestr(f"{name}.npy", b"x")
        archive.filelist[0].file_size = 2**60  # as the directory at its end says
    with pytest.raises(OfflinePruneError, match=r"^\S+rows\.npz would take 1,073,741,824 GiB"):
        load_dataset(path)


@cases(150)
@given(
    made=world.broken(world.ARRAY_BREAKS | world.DROP),
    layout=st.sampled_from(["d4rl", "d3rlpy"]), kind=st.sampled_from(list(WRITERS)),
)  # fmt: skip
def test_arrays_are_what_their_imported_file_is(made, layout, kind, tmp_path_factory):
    """Loaded alike, bit for bit, or refused alike."""
    path = tmp_path_factory.mktemp("arrays") / f"rows.{kind}"
    name = f"arrays/n{next(NUMBER)}-v0"
    try:
        arrays = world.flat(made, layout)
        WRITERS[kind](arrays, path)
    except (ValueError, TypeError, IndexError, KeyError):
        return  # does not even concatenate, or the file cannot hold it
    try:
        ours = load_dataset(arrays)
    except OfflinePruneError:
        with pytest.raises(OfflinePruneError):
            import_file(path, name)
        assert not local_path(name).exists()
        return
    assert same(load_dataset(import_file(path, name)), ours)
    shutil.rmtree(local_path(name))
    shutil.rmtree(path.parent)


# --- Training ----------------------------------------------------------------------------

SMALL = {"hidden_units": [16, 16], "batch_size": 8}


def test_arrays_train_and_are_not_evaluated(tmp_path):
    result = prune_then_train(
        rows(), "iql", 0.95, n_steps=4, algo_params=SMALL, progress=False,
        output_dir=tmp_path / "run", checkpoint_dir=tmp_path / "states",
    )  # fmt: skip
    assert str(result.evaluation) == "not evaluated: the dataset names no environment"
    assert result.settings.dataset is None
    assert result.mask.sparsity == pytest.approx(0.95, abs=0.01)
    again = prune_then_train(
        load_dataset(rows()), "iql", 0.95, n_steps=4, algo_params=SMALL, progress=False
    )
    np.testing.assert_array_equal(
        result.algo.predict(rows()["observations"]), again.algo.predict(rows()["observations"])
    )


def test_arrays_of_a_named_environment_are_evaluated():
    rng = np.random.default_rng(0)
    arrays = rows()
    arrays["actions"] = rng.uniform(-2, 2, (N, 1)).astype("f4")
    data = load_dataset(arrays, env="Pendulum-v1")
    assert data.metadata.env_spec.id == "Pendulum-v1"
    result = prune_then_train(
        data, "bc", 0.5, n_steps=2, algo_params=SMALL, progress=False, evaluate=1,
        max_episode_steps=3,
    )  # fmt: skip
    assert len(result.evaluation.returns) == 1
