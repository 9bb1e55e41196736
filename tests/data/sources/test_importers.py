import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from offline_prune.data import import_file, load_dataset
from offline_prune.errors import DatasetError, InputError

N = 12
END = {3: "terminals", 7: "timeouts", 9: "terminals"}  # rows 10 and 11 are cut off


def write(path, layout, *, discrete=False, following=False, drop=()):
    rng = np.random.default_rng(0)
    flags = {name: np.zeros(N) for name in ("terminals", "timeouts")}
    for row, name in END.items():
        flags[name][row] = 1
    fields = {
        "observations": rng.normal(size=(N, 4)).astype(np.float32),
        "actions": np.arange(N) % 2 if discrete else rng.uniform(-2, 2, (N, 2)).astype("f4"),
        "rewards": rng.normal(size=N),
        "terminals": flags["terminals"],
    }
    if layout == "d4rl":
        fields["timeouts"] = flags["timeouts"]
    else:
        fields["episode_terminals"] = flags["terminals"] + flags["timeouts"]
    if following:
        ahead = rng.normal(size=(N, 4)).astype(np.float32)
        inside = np.setdiff1d(np.arange(N - 1), list(END))
        ahead[inside] = fields["observations"][inside + 1]
        fields["next_observations"] = ahead
    with h5py.File(path, "w") as file:
        for name, values in fields.items():
            if name not in drop:
                file[name] = values
    return fields


@pytest.mark.parametrize("layout", ["d4rl", "d3rlpy"])
def test_episodes(layout, tmp_path):
    fields = write(tmp_path / "file.h5", layout)
    data = load_dataset(import_file(tmp_path / "file.h5", f"imported/{layout}-v0"))
    # Row 7 times out and row 11 is cut off: their next observations are unknown.
    kept = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    np.testing.assert_array_equal(data.observations, fields["observations"][kept])
    np.testing.assert_array_equal(data.actions, fields["actions"][kept])
    np.testing.assert_allclose(data.rewards, fields["rewards"][kept], rtol=1e-6)
    assert np.flatnonzero(data.terminals).tolist() == [3, 8]
    assert np.flatnonzero(data.timeouts).tolist() == [6, 9]
    np.testing.assert_array_equal(data.next_observations[6], fields["observations"][7])
    assert (data.metadata.action_high > 1).all()
    assert data.metadata.env_spec is None


def test_recorded_next_observations_save_the_last_transitions(tmp_path):
    fields = write(tmp_path / "file.h5", "d4rl", following=True)
    data = load_dataset(import_file(tmp_path / "file.h5", "imported/following-v0"))
    assert len(data) == N
    np.testing.assert_array_equal(data.next_observations[7], fields["next_observations"][7])
    assert data.terminals[7] == 0


def test_discrete_actions_and_the_environments_spaces(tmp_path):
    write(tmp_path / "file.h5", "d3rlpy", discrete=True)
    free = import_file(tmp_path / "file.h5", "imported/free-v0")
    assert free.action_space == Discrete(2)
    assert isinstance(free.observation_space, Box)
    named = import_file(tmp_path / "file.h5", "imported/named-v0", env="CartPole-v1")
    environment = gymnasium.make("CartPole-v1")
    assert named.observation_space == environment.observation_space
    assert named.env_spec.id == "CartPole-v1"
    assert load_dataset("imported/named-v0").metadata.action_kind == "discrete"


def test_an_id_that_is_taken_is_refused_and_left_alone(tmp_path):
    write(tmp_path / "file.h5", "d4rl")
    first = import_file(tmp_path / "file.h5", "imported/taken-v0")
    before = load_dataset(first).rewards
    write(tmp_path / "other.h5", "d3rlpy", discrete=True)
    with pytest.raises(DatasetError, match="already"):
        import_file(tmp_path / "other.h5", "imported/taken-v0")
    np.testing.assert_array_equal(load_dataset("imported/taken-v0").rewards, before)


def test_what_is_not_such_a_file(tmp_path, minari_root):
    write(tmp_path / "partial.h5", "d4rl", drop=("rewards",))
    (tmp_path / "text.h5").write_text("no HDF5")
    for name, message in (
        ("partial.h5", "lacks rewards"),
        ("text.h5", "cannot be read"),
        ("missing.h5", "cannot be read"),
    ):
        with pytest.raises(DatasetError, match=message):
            import_file(tmp_path / name, "imported/broken-v0")
    write(tmp_path / "file.h5", "d4rl")
    with pytest.raises(DatasetError, match="NoSuchEnv"):
        import_file(tmp_path / "file.h5", "imported/broken-v0", env="NoSuchEnv-v0")
    with pytest.raises(DatasetError, match="not a dataset id"):
        import_file(tmp_path / "file.h5", "no version")
    assert not (minari_root / "imported" / "broken-v0").exists()


def endless(path, order=None, *, following=True, length=10, n=100):
    """Ten episodes of a task that never terminates, no end marked; rows in some order."""
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(n, 4)).astype("f4")
    ahead = np.roll(observations, -1, axis=0)
    ends = np.arange(length - 1, n, length)
    ahead[ends] = rng.normal(size=(len(ends), 4))
    order = np.arange(n) if order is None else order
    fields = {
        "observations": observations[order],
        "actions": rng.uniform(-1, 1, (n, 2)).astype("f4")[order],
        "rewards": np.arange(n, dtype="f4")[order],
        "terminals": np.zeros(n),
    }
    if following:
        fields["next_observations"] = ahead[order]
    with h5py.File(path, "w") as file:
        for name, values in fields.items():
            file[name] = values
    return fields


def check_transitions(data, fields):
    """Every recorded transition is there, with its own next observation."""
    by_reward = np.argsort(fields["rewards"])
    ours = np.argsort(data.rewards)
    for name in ("observations", "next_observations", "actions"):
        np.testing.assert_array_equal(getattr(data, name)[ours], fields[name][by_reward])
    assert not data.terminals.any()


ORDERS = {
    "ends are missing": (None, 9),
    "two environments in turn": (np.arange(100).reshape(2, 50).T.ravel(), None),
    "shuffled": (np.random.default_rng(1).permutation(100), None),
}


@pytest.mark.parametrize("case", ORDERS)
def test_rows_that_do_not_follow_each_other_are_counted_and_cut_on_request(case, tmp_path):
    order, jumps = ORDERS[case]
    path, name = tmp_path / "file.h5", f"imported/{case.replace(' ', '-')}-v0"
    fields = endless(path, order)
    with pytest.raises(DatasetError, match=rf"of {jumps or '9.'} of 100 rows .*--cut-at-jumps"):
        import_file(path, name)
    check_transitions(load_dataset(import_file(path, name, cut_at_jumps=True)), fields)


def test_episodes_of_a_known_length(tmp_path):
    path = tmp_path / "file.h5"
    endless(path, following=False)
    with pytest.raises(DatasetError, match=r"marks no end .*--episode-length; 100 for one"):
        import_file(path, "imported/endless-v0")
    data = load_dataset(import_file(path, "imported/endless-v0", episode_length=10))
    assert data.metadata.episodes == 10
    assert len(data) == 90  # what follows each last step is not recorded
    fields = endless(path)
    data = load_dataset(import_file(path, "imported/known-v0", episode_length=10))
    check_transitions(data, fields)
    endless(path, following=False)
    with pytest.raises(DatasetError, match="has no next_observations"):
        import_file(path, "imported/jumps-v0", cut_at_jumps=True)
    for wrong in (0, 2.5, "ten"):
        with pytest.raises(InputError, match="episode_length"):
            import_file(path, "imported/wrong-v0", episode_length=wrong)


def test_lengths_count_from_the_last_end(tmp_path):
    path = tmp_path / "file.h5"
    write(path, "d4rl")
    data = load_dataset(import_file(path, "imported/counted-v0", episode_length=3))
    # Ends: 2 (length), 3 (terminal), 6 (length), 7 (timeout), 9 (terminal), 11 (cut off).
    assert data.ends.tolist() == [2, 3, 5, 7, 8]


def test_the_limit_of_the_environment_is_kept(tmp_path):
    path = tmp_path / "file.h5"
    rng = np.random.default_rng(0)
    n = 600
    with h5py.File(path, "w") as file:
        file["observations"] = rng.uniform(-1, 1, (n, 3)).astype("f4")
        file["actions"] = rng.uniform(-2, 2, (n, 1)).astype("f4")
        file["rewards"] = np.zeros(n)
        file["terminals"] = np.zeros(n)
        file["timeouts"] = np.arange(n) % 300 == 299
    with pytest.raises(DatasetError, match=r"299 steps; Pendulum-v1 .* after 200.*length 200"):
        import_file(path, "imported/pendulum-v0", env="Pendulum-v1")
    imported = import_file(path, "imported/pendulum-v0", env="Pendulum-v1", episode_length=200)
    assert load_dataset(imported).metadata.longest_episode == 199
