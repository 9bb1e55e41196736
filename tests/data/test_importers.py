import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from offline_prune.data import import_file, load_dataset
from offline_prune.errors import DatasetError

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
        fields["next_observations"] = rng.normal(size=(N, 4)).astype(np.float32)
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
