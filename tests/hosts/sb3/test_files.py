import zipfile

import numpy as np
import pytest

from offline_prune.errors import InputError, UntrustedFileError
from offline_prune.hosts.sb3.files import load_policy
from tests.hosts.sb3.models import MODELS, model, seen
from tests.hosts.sb3.test_statistics import normalizing


@pytest.mark.parametrize("name", MODELS)
def test_every_algorithm_comes_back(name, tmp_path):
    built = model(name)
    built.save(tmp_path / "model.zip")
    policy = load_policy(tmp_path / "model.zip", trust=True)
    found, _ = policy.predict(seen(), deterministic=True)
    np.testing.assert_array_equal(found, built.predict(seen(), deterministic=True)[0])


class Runs:
    """What a stranger may put into a zip."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_runs_without_the_users_word(tmp_path):
    built = model("PPO, gSDE")
    built.evil = Runs(str(tmp_path / "it ran"))
    built.save(tmp_path / "model.zip")
    with pytest.raises(UntrustedFileError, match="runs what is in them"):
        load_policy(tmp_path / "model.zip", trust=False)
    assert not (tmp_path / "it ran").exists()
    with pytest.warns(ResourceWarning):
        load_policy(str(tmp_path / "model.zip"), trust=True)
    assert (tmp_path / "it ran").exists()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "model.zip"
    with pytest.raises(InputError, match="is no zip"):
        load_policy(path, trust=True)
    path.write_text("no zip")
    with pytest.raises(InputError, match="is no zip"):
        load_policy(path, trust=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
    with pytest.raises(InputError, match=r"cannot be read as a model.*KeyError"):
        load_policy(path, trust=True)


@pytest.mark.slow
def test_the_command(run, tmp_path):
    path, statistics = tmp_path / "model.zip", tmp_path / "statistics.pkl"
    model("SAC").save(path)
    normalizing().save(statistics)
    np.save(tmp_path / "seen.npy", seen())
    asked = ["export", path, tmp_path / "policy.c"]
    code, _, error = run(*asked)
    assert (code, "--trust" in error) == (2, True)
    code, printed, error = run(
        *asked, "--trust", "--normalization", statistics, "--observations", tmp_path / "seen.npy"
    )
    assert (code, error) == (0, "")
    assert "agrees with model.predict on 64 observations" in printed
    code, _, error = run(*asked, "--trust", "--observations", statistics)
    assert (code, "cannot be read" in error) == (2, True)
    code, _, error = run(*asked, "--trust", "--dataset", "a/b-v0")
    assert (code, "--dataset is for a run's folder" in error) == (2, True)
    code, _, error = run("export", tmp_path, tmp_path / "policy.c", "--trust")
    assert (code, "are for zips" in error) == (2, True)
