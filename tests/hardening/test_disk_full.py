"""A full disk: a named error, the state before untouched, and a trained result not lost."""

import contextlib
import ctypes
import errno
import os
import resource
import subprocess
import sys

import pytest

import offline_prune.cli
from offline_prune import PruneResult, prune_then_train, sweep
from offline_prune.errors import OutputDirectoryError, UnsavedResultError, WriteError
from tests.hardening.forks import Forks
from tests.hardening.test_kills import (
    JOBS,
    KIND,
    REPLACING,
    leftovers,
    look_at_result,
    material,
    options,
    prepared,
)
from tests.worlds import dataset

__all__ = ["material"]  # a fixture

# ONNX files are written as C files are.
UNTRIED = ("onnx",)
NEW_MOUNTS = 0x00020000  # CLONE_NEWNS of <sched.h>: seen by this process alone


@pytest.fixture(scope="module")
def forks():
    with Forks() as process:
        yield process


@contextlib.contextmanager
def full_disk(how, folder):
    """No file may grow beyond 2 kB; or the file system of a folder has 2 kB left."""
    if how == "limit":
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        return
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        file.truncate(file.tell() - 4096)
    yield
    filler.unlink()


def mount(folder):
    """A disk of 2 MB that this process alone sees; an error where that is not allowed."""
    folder.mkdir(parents=True)
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    for arguments in (
        ("--make-rprivate", "/"),
        ("-t", "tmpfs", "-o", "size=2m", "tmpfs", folder),
    ):
        subprocess.run(["mount", *arguments], check=True, capture_output=True)


def attempt(name, how, material, folder):
    """A job on a full disk, then once more; what was raised and what was found."""
    job = JOBS[name]
    disk = folder / "disk"
    if how == "tmpfs":
        try:
            mount(disk)
        except (OSError, subprocess.CalledProcessError) as error:
            return {"no mount": str(error)}
    here = prepared(disk / "here", name)
    before = job.look(here / job.target) if name in REPLACING else None
    raised = None
    with full_disk(how, disk):
        try:
            job.run(material, here)
        except Exception as error:
            raised = error
    there = (here / job.target).exists()
    found = {
        "raised": (type(raised).__name__, str(raised), getattr(raised, "errno", None)),
        "untouched": (job.look(here / job.target) if there else None) == before,
        "leftovers": leftovers(here),
    }
    job.run(material, here)
    return found | {"at last": job.look(here / job.target)}


@pytest.mark.parametrize("how", ["limit", "tmpfs"])
@pytest.mark.parametrize("name", [name for name in JOBS if name not in UNTRIED])
def test_a_full_disk_is_named_and_changes_nothing(name, how, forks, material, tmp_path):
    job = JOBS[name]
    forks.run(job.run, material, prepared(tmp_path / "whole", name))
    done = forks.run(attempt, name, how, material, tmp_path)
    assert done.error is None, done.error
    found = done.value
    if "no mount" in found:
        pytest.skip(f"no file system can be mounted here: {found['no mount']}")
    kind, message, number = found["raised"]
    assert kind == "WriteError", message
    assert number in (errno.EFBIG, errno.ENOSPC)
    assert "could not be written (File too large)" in message or "(No space left" in message
    assert "What was there before is untouched" in message
    assert "Free some space" in message
    assert found["untouched"]
    assert found["leftovers"] == []
    if name != "torchscript":  # torch numbers the classes that a process has traced
        assert found["at last"] == job.look(tmp_path / "whole" / job.target)


def train(output_dir, **chosen):
    return prune_then_train(
        dataset(KIND), "iql", 0.8, n_steps=6, n_steps_per_epoch=3, evaluate=0, progress=False,
        output_dir=output_dir, **options(), **chosen,
    )  # fmt: skip


def train_without_room(folder):
    with full_disk("limit", folder), pytest.raises(UnsavedResultError) as caught:
        train(folder / "run")
    assert isinstance(caught.value.__cause__, WriteError)
    assert not (folder / "run").exists()
    caught.value.result.save(folder / "later")
    return str(caught.value)


def test_a_result_without_room_is_in_the_error(forks, tmp_path):
    done = forks.run(train_without_room, tmp_path)
    assert done.error is None
    assert done.value.startswith("Training is done, but its result could not be saved: ")
    assert "error.result.save(folder) keeps it" in done.value
    train(tmp_path / "whole")
    assert look_at_result(tmp_path / "later") == look_at_result(tmp_path / "whole")


def taking(folder):
    """An epoch callback: somebody else makes the output folder meanwhile."""

    def take(algo, epoch, step):
        folder.mkdir(exist_ok=True)
        (folder / "theirs.txt").write_text("theirs")

    return take


def test_a_folder_that_is_taken_meanwhile_costs_no_training(tmp_path):
    run, states, steps = tmp_path / "run", tmp_path / "states", []
    with pytest.raises(UnsavedResultError, match="does not train again") as caught:
        train(run, checkpoint_dir=states, epoch_callback=taking(run))
    assert isinstance(caught.value.__cause__, OutputDirectoryError)
    assert [path.name for path in run.iterdir()] == ["theirs.txt"]
    (state,) = states.iterdir()
    assert str(state) in str(caught.value)
    # The same run; its callback has no say in what it is.
    again = train(tmp_path / "other", checkpoint_dir=states, callback=lambda *at: steps.append(at))
    assert steps == []
    caught.value.result.save(tmp_path / "kept")
    assert look_at_result(tmp_path / "other") == look_at_result(tmp_path / "kept")
    assert again.history == caught.value.result.history
    assert list(states.iterdir()) == []


def test_the_command_line_saves_elsewhere(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"

    def disturbed(*arguments, **named):
        return prune_then_train(*arguments, epoch_callback=taking(out), **named)

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(offline_prune.cli, "prune_then_train", disturbed)
    monkeypatch.setattr(
        sys, "argv",
        ["offline-prune", "run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".5",
         "--steps", "4", "--episodes", "0", "--quiet", "--out", str(out)],
    )  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        offline_prune.cli.main()
    assert stop.value.code == 1
    (folder,) = (tmp_path / "temporary").iterdir()
    assert f"It was saved in {folder} instead" in capsys.readouterr().err
    assert PruneResult.load(folder).settings.n_steps == 4
    assert [path.name for path in out.iterdir()] == ["theirs.txt"]


GRID = {
    "datasets": "pendulum/mixture-v0",
    "algos": "bc",
    "sparsities": [0, 0.5],
    "methods": "snip",
    "seeds": 1,
    "n_steps": 4,
    "evaluations": 1,
    "window": 1,
    "evaluate": 0,
    "n_batches": 1,
    "algo_params": {"*": {"hidden_units": [8, 8], "batch_size": 16}},
}


def sweep_without_room(folder, root):
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    with full_disk("limit", folder), pytest.raises(WriteError) as caught:
        sweep(**GRID, out=folder, progress=False)
    return str(caught.value), leftovers(folder)


def test_a_sweep_goes_on_when_there_is_room(forks, minari_root, tmp_path):
    whole = sweep(**GRID, out=tmp_path / "whole", progress=False)
    done = forks.run(sweep_without_room, tmp_path / "study", minari_root)
    assert done.error is None
    message, left = done.value
    assert "could not be written (File too large)" in message
    assert left == []
    again = sweep(**GRID, out=tmp_path / "study", retry_failed=True, progress=False)
    assert again.rows == whole.rows
