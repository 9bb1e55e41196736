"""Several processes at once in one folder, and several threads in one process."""

import functools
import os
import pickle
import shutil

import h5py
import pytest
import torch

from offline_prune import Mask, PruneResult, prune_then_train
from tests.hardening.forks import Forks
from tests.hardening.test_kills import (
    JOBS,
    leftovers,
    look_at_dataset,
    look_at_file,
    look_at_result,
    material,
    options,
    score_and_save,
    train,
)
from tests.worlds import long_dataset

__all__ = ["material"]  # a fixture

ROUNDS = 4


@pytest.fixture(scope="module")
def forks():
    with Forks() as process:
        yield process


def together(functions, *arguments):
    """Call functions at the same moment, each in a process; None or the error of each."""
    gate, opener = os.pipe()
    readers = []
    for function in functions:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(opener)
            os.read(gate, 1)  # ends when the parent closes its end
            error = None
            try:
                function(*arguments)
            except Exception as raised:
                error = (type(raised).__name__, str(raised))
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(error, stream)
            os._exit(0)
        os.close(writer)
        readers.append(reader)
    os.close(opener)
    outcomes = []
    for reader in readers:
        with os.fdopen(reader, "rb") as stream:
            outcomes.append(pickle.load(stream))
        os.wait()
    os.close(gate)
    return outcomes


@pytest.mark.parametrize("name", ["save", "score", "import", "generate"])
def test_one_wins_whole(name, forks, material, tmp_path):
    job = JOBS[name]
    forks.warm(job.run, material, tmp_path / "warm")
    expected = job.look(tmp_path / "warm" / job.target)
    for i in range(ROUNDS):
        here = tmp_path / str(i)
        done = forks.run(together, [job.run] * 3, material, here)
        assert done.error is None, done.error
        errors = [error for error in done.value if error is not None]
        assert len(errors) < 3
        if name in ("save", "score"):
            assert len(errors) == 2
        assert {kind for kind, _ in errors} <= {job.refused}
        assert job.look(here / job.target) == expected
        assert not leftovers(here)


def test_runs_that_share_everything(forks, material, tmp_path):
    """The same run twice: one folder, one state."""
    expected = look_at_result(material / "run")
    for i in range(ROUNDS):
        here = tmp_path / str(i)
        done = forks.run(together, [train, train], material, here)
        errors = [error for error in done.value if error is not None]
        assert len(errors) == 1
        assert errors[0][0] in ("UnsavedResultError", "OutputDirectoryError")
        assert look_at_result(here / "run") == expected
        assert not leftovers(here)


def train_seed(seed, material, here):
    prune_then_train(
        long_dataset(), "iql", 0.8, n_steps=12, n_steps_per_epoch=3, evaluate=0, progress=False,
        output_dir=here / f"run-{seed}", checkpoint_dir=here / "states", **options(seed=seed),
    )  # fmt: skip


def test_runs_that_share_a_checkpoint_folder(forks, material, tmp_path):
    runs = [functools.partial(train_seed, seed) for seed in range(3)]
    done = forks.run(together, runs, material, tmp_path / "together")
    assert done.value == [None, None, None]
    for seed in range(3):
        forks.run(train_seed, seed, material, tmp_path / "alone")
        one, other = (look_at_result(tmp_path / p / f"run-{seed}") for p in ("together", "alone"))
        assert one == other
    assert list((tmp_path / "together" / "states").iterdir()) == []


def save_mask(path, material, here):
    mask = Mask.load(path)
    for _ in range(20):
        mask.save(here / "mask.safetensors")


def test_a_file_is_that_of_one_of_its_writers(forks, material, tmp_path):
    forks.run(score_and_save, material, tmp_path)
    paths = [material / "run" / "mask.safetensors", tmp_path / "scored" / "mask.safetensors"]
    writers = [functools.partial(save_mask, path) for path in paths]
    done = forks.run(together, writers * 2, material, tmp_path)
    assert done.value == [None] * 4
    assert look_at_file(tmp_path / "mask.safetensors") in [look_at_file(path) for path in paths]
    assert not leftovers(tmp_path)


def import_other(material, here):
    JOBS["import"].run(material / "other", here)


def test_another_dataset_of_the_same_id_is_refused(forks, material, tmp_path):
    """Nobody is told that somebody else's dataset were his."""
    other = material / "other"
    other.mkdir()
    shutil.copy(material / "recorded.h5", other)
    with h5py.File(other / "recorded.h5", "r+") as file:
        file["rewards"][:] = 1.0
    jobs = [JOBS["import"].run, import_other]
    kinds = []
    for job, source in zip(jobs, (material, material), strict=True):
        assert forks.run(job, source, tmp_path / job.__name__).error is None
        kinds.append(look_at_dataset(tmp_path / job.__name__ / JOBS["import"].target))
    assert kinds[0] != kinds[1]
    for i in range(ROUNDS):
        done = forks.run(together, jobs, material, tmp_path / str(i))
        (winner,) = (n for n, error in enumerate(done.value) if error is None)
        assert done.value[1 - winner][0] == "DatasetError"
        assert look_at_dataset(tmp_path / str(i) / JOBS["import"].target) == kinds[winner]


def train_wide(threads, here):
    torch.set_num_threads(threads)
    wide = {"algo_params": {"hidden_units": [128, 128], "batch_size": 256}}
    result = prune_then_train(
        long_dataset(), "iql", 0.5, n_steps=4, evaluate=0, progress=False, engine="masked",
        output_dir=here, **options(**wide),
    )  # fmt: skip
    return result.mask == PruneResult.load(here).mask


def test_threads(forks, tmp_path):
    """The same number of threads gives the same bits; another number rounds in another way."""
    for i, threads in enumerate((1, 1, 2, 2)):
        assert forks.run(train_wide, threads, tmp_path / str(i)).value
    found = [look_at_result(tmp_path / str(i)) for i in range(4)]
    assert found[0] == found[1]
    assert found[2] == found[3]
    one, two = (PruneResult.load(tmp_path / i).algo.impl.modules for i in "02")
    for name, module in vars(one).items():
        if isinstance(module, torch.nn.Module):
            for ours, theirs in zip(
                module.parameters(), getattr(two, name).parameters(), strict=True
            ):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
