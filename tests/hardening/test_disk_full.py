"""A full disk: a named error, the state before untouched, and a trained result not lost."""

import contextlib
import ctypes
import errno
import os
import random
import resource
import signal
import subprocess
import sys

import pytest

import offline_prune.cli
from offline_prune import PruneResult, prune_then_train
from offline_prune.base.atomic import refused_write
from offline_prune.errors import OutputDirectoryError, UnsavedResultError, WriteError
from offline_prune.study import plan, read_records
from offline_prune.study.run import NO_ROOM, perform
from tests.hardening.forks import Forks
from tests.hardening.test_interrupts import command
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


def limit_files(size):
    """No file may grow beyond that any more."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@contextlib.contextmanager
def full_disk(how, folder, room=2048):
    """No file may grow beyond a size; or the file system of a folder has that much left."""
    if how == "limit":
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit_files(room)
        try:
            yield
        finally:
            limit_files(hard)
        return
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        file.truncate(file.tell() - max(room, 4096))  # it is cut into pages
    yield
    filler.unlink()


class NoMountError(Exception):
    """No file system can be mounted here."""


def disk_in(folder, how):
    """A folder for a disk that is to be full: for a tmpfs one of 2 MB, if it is allowed here."""
    disk = folder / "disk"
    disk.mkdir(parents=True)
    if how == "tmpfs":
        try:
            mount(disk)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoMountError(error) from error
    return disk


def mount(folder):
    """A disk of 2 MB that this process alone sees; an error where that is not allowed."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    for arguments in (
        ("--make-rprivate", "/"),
        ("-t", "tmpfs", "-o", "size=2m", "tmpfs", folder),
    ):
        subprocess.run(["mount", *arguments], check=True, capture_output=True)


def raised_by(function, *arguments):
    """What a call raised, in words that leave the process: kind, message and number."""
    raised = None
    try:
        function(*arguments)
    except Exception as error:
        raised = error
    return type(raised).__name__, str(raised), getattr(raised, "errno", None)


def found_on_disk(done):
    """What a job on a disk of its own returned; the test is skipped where it had none."""
    if done.error is not None and done.error[0] == NoMountError.__name__:
        pytest.skip(f"no file system can be mounted here: {done.error[1]}")
    assert done.error is None, done.error
    return done.value


def refusal(raised):
    """The message of a ``WriteError`` that a full disk was the reason of."""
    kind, message, number = raised
    assert kind == "WriteError", message
    assert number in (errno.EFBIG, errno.ENOSPC)
    return message


def attempt(name, how, material, folder):
    """A job on a full disk, then once more; what was raised and what was found."""
    job = JOBS[name]
    disk = disk_in(folder, how)
    here = prepared(disk / "here", name)
    before = job.look(here / job.target) if name in REPLACING else None
    with full_disk(how, disk):
        raised = raised_by(job.run, material, here)
    there = (here / job.target).exists()
    found = {
        "raised": raised,
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
    found = found_on_disk(forks.run(attempt, name, how, material, tmp_path))
    message = refusal(found["raised"])
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
    monkeypatch.setattr("offline_prune.run.pipeline.prune_then_train", disturbed)
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


# The states of the second half are too big for what is left of the disk.
GRID = """
datasets = ["pendulum/mixture-v0"]
algos = ["bc", "iql"]
sparsities = [0.5]
methods = ["snip"]
seeds = 1
n_steps = 4
evaluations = 2
window = 1
evaluate = 1
n_batches = 1

[algo_params]
bc = {hidden_units = [4, 4], batch_size = 16}
iql = {hidden_units = [64, 64], batch_size = 16}
"""
ROOM = 150_000


def run_command(root, grid, out, *more):
    code, said = command(root, "sweep", grid, "--out", out, *more)
    table = out / "table.csv"
    return code, said, table.read_bytes() if table.exists() else None


def sweep_in_little_room(root, grid, folder, how, more):
    """The command in little room, and again; what was said, and found."""
    # What a worker imports in little room must not be left half-compiled.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    disk = disk_in(folder, how)
    out = disk / "study"
    with full_disk(how, disk, ROOM):
        stopped = run_command(root, grid, out, "--quiet", *more)
    found = {
        "stopped": stopped,
        "records": [(r["cell"]["algo"], r["status"]) for r in read_records(out)],
        "leftovers": leftovers(out / "cells"),
    }
    again = run_command(root, grid, out, "--quiet", *more)
    return found | {"again": again, "states": list(out.glob("checkpoints"))}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    (folder / "grid.toml").write_text(GRID)
    return folder / "grid.toml"


@pytest.fixture(scope="module")
def undisturbed(grid, forks, minari_root):
    forks.warm(run_command, minari_root, grid, grid.parent / "warm")
    done = forks.run(run_command, minari_root, grid, grid.parent / "whole")
    assert done.error is None, done.error
    assert done.value[0] == 0
    return done.value[2]


@pytest.mark.parametrize(
    ("how", "more"),
    [
        ("limit", ()),
        ("tmpfs", ()),
        ("limit", ("--workers", "2")),
        ("tmpfs", ("--backend", "ray")),
    ],
    ids=["limit", "tmpfs", "workers", "ray"],
)
def test_a_sweep_stops_and_goes_on_when_there_is_room(
    how, more, undisturbed, forks, grid, minari_root, tmp_path
):
    done = forks.run(sweep_in_little_room, minari_root, grid, tmp_path, how, more)
    found = found_on_disk(done)
    code, said, table = found["stopped"]
    assert code == 1
    assert said.startswith(f"WriteError: {tmp_path / 'disk' / 'study' / 'checkpoints'}")
    assert "Free some space" in said
    assert said.endswith("the same command goes on where it stopped.\n")
    assert said.count("\n") == 1
    assert found["leftovers"] == []
    # Of two workers one may be stopped by the other.
    assert found["records"] in ([("bc", "ok")], [])
    assert found["records"] or "--workers" in more
    assert table.count(b"\n") == 1 + len(found["records"])
    assert found["again"] == (0, "", undisturbed)
    assert found["states"] == []


def disk_full_at_a_signal(root, grid, out):
    signal.signal(signal.SIGUSR1, lambda *_: limit_files(2048))
    return run_command(root, grid, out, "--quiet")


def test_a_disk_that_is_full_all_of_a_sudden(undisturbed, forks, grid, minari_root, tmp_path):
    def swept(moment=None):
        done = forks.run(
            disk_full_at_a_signal, minari_root, grid, tmp_path / str(moment),
            kind="writes", under=tmp_path, die_at=moment, by=signal.SIGUSR1,
        )  # fmt: skip
        assert done.error is None, done.error
        return done

    calls = swept().events  # from the first state on
    rng = random.Random(0)
    found, states = set(), 0
    for earliest, latest in ((0.0, 0.1), (0.3, 0.5), (0.6, 0.8)):
        moment = 1 + int(rng.uniform(earliest, latest) * calls)
        code, said, _ = swept(moment).value
        assert (code, said[:11]) == (1, "WriteError:")
        study = tmp_path / str(moment)
        found.add(tuple(record["status"] for record in read_records(study)))
        states += len(list(study.glob("checkpoints/*/*.pt")))
        again = forks.run(run_command, minari_root, grid, study, "--quiet")
        assert again.value == (0, "", undisturbed)
    assert found == {(), ("ok",)}  # it was full now in the first cell, now in the second
    assert states


def write_to_full_device():
    with open("/dev/full", "wb", buffering=0) as file:
        file.write(b"no")


def test_whatever_in_a_cell_meets_a_full_disk(tmp_path):
    (cell,) = plan(
        "pendulum/mixture-v0", "bc", 0, "dense", 1, n_steps=2, evaluations=1, window=1, evaluate=0,
        algo_params={"*": {"hidden_units": [4, 4], "batch_size": 16}},
    )  # fmt: skip
    record = perform(cell, tmp_path, {}, write_to_full_device)
    assert record["status"] == NO_ROOM
    assert record["error"] == (
        "A file could not be written (No space left on device). Free some space, then do it again."
    )
    (tmp_path / "a file").touch()
    record = perform(cell, tmp_path, {}, (tmp_path / "a file").mkdir)
    assert (record["status"], record["error"][:15]) == ("failed", "FileExistsError")


def test_only_what_an_error_comes_of_is_a_full_disk():
    with pytest.raises(OSError, match="No space") as full:
        write_to_full_device()
    wrapped, later = RuntimeError("could not compile"), RuntimeError("diverged")
    wrapped.__cause__ = full.value
    later.__context__ = full.value  # it was dealt with before
    assert refused_write(wrapped).errno == errno.ENOSPC
    assert refused_write(later) is None
    assert refused_write(WriteError("refused")).args == ("refused",)
    assert refused_write(OSError(errno.ENOENT, "no such file")) is None
