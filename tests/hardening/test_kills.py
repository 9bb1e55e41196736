"""kill -9 at random moments: what is there is whole, and the same command ends as if undisturbed.

Sweeps are killed in ``tests/study/test_sweep.py``.
"""

import dataclasses
import functools
import hashlib
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import offline_prune.data.load
from offline_prune import Mask, PruneResult, load_dataset, prune_then_train, score, sweep
from offline_prune.data import import_file, list_dataset_recipes
from offline_prune.errors import OutputDirectoryError
from offline_prune.pops import prune_and_shrink
from tests.hardening.forks import KINDS, Forks
from tests.pops.worlds import FunctionGate, trained
from tests.worlds import dataset, params

KIND = "vector-continuous"
CARTPOLE = "cartpole/mixture-v0"


def options(**chosen):
    settings = {"n_batches": 1, "algo_params": params(KIND, "iql"), "seed": 3}
    return settings | chosen


def train(material, here, out="run", **chosen):
    prune_then_train(
        dataset(KIND), "iql", 0.8, n_steps=12, n_steps_per_epoch=3, evaluate=0, progress=False,
        output_dir=here / out, checkpoint_dir=here / "states", **options(), **chosen,
    )  # fmt: skip


def score_and_save(material, here):
    score(dataset(KIND), "iql", 0.8, method="synflow", **options()).save(here / "scored")


def save_result(material, here):
    PruneResult.load(material / "run").save(here / "copy")


def save_mask(material, here):
    Mask.load(material / "run" / "mask.safetensors").save(here / "mask.safetensors")


def export(suffix, material, here):
    observations = dataset(KIND).observations[:20]
    PruneResult.load(material / "run").export(here / f"policy{suffix}", observations)


def shrink_and_export(material, here):
    data = dataset("vector-discrete")
    student = prune_and_shrink(
        trained("vector-discrete", "bc"), data, gate=FunctionGate(lambda algo: 1.0), n_steps=4,
        distil_steps=2, gate_interval=2, max_iterations=1, evaluate=0, progress=False,
    )  # fmt: skip
    student.export(here / "policy.c", data.observations[:20])


def generate(material, here):
    os.environ["MINARI_DATASETS_PATH"] = str(here)
    recipe = list_dataset_recipes()[CARTPOLE]
    collection = {**recipe.collection, "episodes": [1] * len(recipe.collection["noise"])}
    small = {CARTPOLE: dataclasses.replace(recipe, collection=collection)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offline_prune.data.load, "list_dataset_recipes", lambda: small)
        load_dataset(CARTPOLE)


def import_recorded(material, here):
    os.environ["MINARI_DATASETS_PATH"] = str(here)
    import_file(material / "recorded.h5", "lab/arms/recorded-v0")


def digest(tensors):
    found = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        values = np.ascontiguousarray(values)
        found.update(f"{name}{values.dtype}{values.shape}".encode() + values.tobytes())
    return found.hexdigest()


def look_at_result(path):
    """Fails if there is a folder that is no whole result."""
    result = PruneResult.load(path)
    modules = vars(result.algo.impl.modules).items()
    tensors = {
        f"{part}.{name}": tensor.numpy()
        for part, module in modules
        if isinstance(module, torch.nn.Module)
        for name, tensor in module.state_dict().items()
    }
    tensors |= {f"kept {name}": mask.numpy() for name, mask in result.mask.connected.items()}
    tensors |= {
        f"history {i} {name}": np.float64(value)
        for i, row in enumerate(result.history)
        for name, value in row.items()
        if not name.startswith("time_")
    }
    return digest(tensors)


def look_at_scores(path):
    mask = Mask.load(path / "mask.safetensors").connected
    return digest(
        load_file(path / "scores.safetensors") | {f"kept {n}": m for n, m in mask.items()}
    )


def look_at_dataset(path):
    data = load_dataset(path)
    names = ("frames", "actions", "rewards", "terminals", "timeouts", "ends")
    return digest({name: getattr(data, name) for name in names})


def look_at_file(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Job:
    """What runs, where it writes, how to look at that, and how often it is killed."""

    run: Callable[[Path, Path], None]
    target: str
    look: Callable[[Path], str]
    kills: int
    refused: str | None = None  # the error of another run where the target is whole
    kinds: tuple[str, ...] = KINDS


JOBS = {
    "generate": Job(generate, CARTPOLE, look_at_dataset, 15),
    "import": Job(import_recorded, "lab/arms/recorded-v0", look_at_dataset, 15, "DatasetError"),
    "score": Job(score_and_save, "scored", look_at_scores, 12, "OutputDirectoryError"),
    "train": Job(train, "run", look_at_result, 24, "OutputDirectoryError"),
    "save": Job(save_result, "copy", look_at_result, 12, "OutputDirectoryError"),
    "mask": Job(save_mask, "mask.safetensors", look_at_file, 12),
    "c": Job(functools.partial(export, ".c"), "policy.c", look_at_file, 9),
    "torchscript": Job(functools.partial(export, ".pt"), "policy.pt", look_at_file, 9),
    "onnx": Job(
        functools.partial(export, ".onnx"), "policy.onnx", look_at_file, 4, kinds=("files",)
    ),
    "shrink": Job(shrink_and_export, "policy.c", look_at_file, 6),
}
REPLACING = ("mask", "c", "torchscript", "onnx", "shrink")


@pytest.fixture(scope="module")
def forks():
    with Forks() as process:
        yield process


@pytest.fixture(scope="module")
def material(tmp_path_factory, forks):
    """A recorded file, and a result."""
    folder = tmp_path_factory.mktemp("material")
    rng = np.random.default_rng(0)
    terminals = np.zeros(60)
    terminals[9::10] = 1
    with h5py.File(folder / "recorded.h5", "w") as file:
        file["observations"] = rng.normal(size=(60, 4)).astype(np.float32)
        file["actions"] = rng.uniform(-1, 1, (60, 2)).astype(np.float32)
        file["rewards"] = rng.normal(size=60)
        file["terminals"] = terminals
        file["timeouts"] = np.zeros(60)
    forks.warm(train, folder, folder)
    return folder


def prepared(folder, name):
    """A folder as it is before the job: what replaces a file finds an older one."""
    folder.mkdir(parents=True)
    if name in REPLACING:
        (folder / JOBS[name].target).write_text("the older one")
    return folder


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.name.endswith(".partial")]


@pytest.mark.parametrize("name", JOBS)
def test_killed_at_random_moments(name, forks, material, tmp_path):
    job = JOBS[name]
    forks.warm(job.run, material, prepared(tmp_path / "warm", name))
    expected, lengths = None, {}
    for kind in job.kinds:
        here = prepared(tmp_path / f"counted-{kind}", name)
        counted = forks.run(job.run, material, here, kind=kind, under=here)
        assert counted.error is None, counted.error
        expected = expected or job.look(here / job.target)
        assert job.look(here / job.target) == expected
        assert not leftovers(here)
        lengths[kind] = counted.events
    rng = random.Random(name)
    kills, undone, found = 0, 0, []
    here = prepared(tmp_path / "0", name)
    before = job.look(here / job.target) if name in REPLACING else None
    while kills < job.kills:
        kind = job.kinds[kills % len(job.kinds)]
        moment = rng.randint(1, lengths[kind])
        died = forks.run(job.run, material, here, kind=kind, under=here, die_at=moment)
        assert died.code in (0, -signal.SIGKILL), (kind, moment)
        kills += died.code != 0
        found.append(len(leftovers(here)))
        state = job.look(here / job.target) if (here / job.target).exists() else None
        assert state in (before, expected), (kind, moment)
        undone += state == before
        if state == expected:
            # Another run leaves it alone, or replaces it by the same; then elsewhere.
            again = forks.run(job.run, material, here)
            assert (again.error or (None,))[0] == job.refused
            assert job.look(here / job.target) == expected
            here = prepared(tmp_path / str(kills), name)
    done = forks.run(job.run, material, here)
    assert done.error is None, done.error
    assert job.look(here / job.target) == expected
    assert not leftovers(here)
    assert undone > 0
    if name == "train":
        assert not list((here / "states").iterdir())
    if name != "onnx":
        assert max(found) > 0  # it was hit while it wrote; the next run cleaned up


def die_when(event, folder):
    """Be killed just before something is done to what is in a folder."""

    def audited(happens, arguments):
        if happens == event and Path(arguments[0]).parent == folder:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audited)


def train_and_keep_the_state(here):
    die_when("os.remove", here / "states")
    train(None, here)


def test_a_state_that_outlived_its_run_is_used_and_removed(forks, tmp_path):
    died = forks.run(train_and_keep_the_state, tmp_path)
    assert died.code == -signal.SIGKILL
    assert len(list((tmp_path / "states").iterdir())) == 1
    train(None, tmp_path / "whole")
    expected = look_at_result(tmp_path / "whole" / "run")
    assert look_at_result(tmp_path / "run") == expected
    steps = []
    with pytest.raises(OutputDirectoryError, match="holds a result"):
        train(None, tmp_path, callback=lambda *at: steps.append(at))
    train(None, tmp_path, "again", callback=lambda *at: steps.append(at))
    assert steps == []
    assert look_at_result(tmp_path / "run") == look_at_result(tmp_path / "again") == expected
    assert list((tmp_path / "states").iterdir()) == []


def swept(folder, seeds, root, dies_at=None):
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    if dies_at is not None:
        die_when("shutil.rmtree", dies_at)
    return sweep(
        "pendulum/mixture-v0", "bc", 0.5, "snip", seeds, out=folder, n_steps=2, evaluations=1,
        window=1, evaluate=0, n_batches=1, progress=False,
        algo_params={"*": {"hidden_units": [4, 4], "batch_size": 16}},
    )  # fmt: skip


def test_states_of_cells_that_are_done_are_removed(forks, minari_root, tmp_path):
    """And records that were written aside and moved."""
    states, cells = tmp_path / "checkpoints", tmp_path / "cells"
    died = forks.run(swept, tmp_path, [0], minari_root, states)
    assert died.code == -signal.SIGKILL
    (state,) = states.iterdir()
    assert (cells / f"{state.name}.json").exists()
    # What an older version of a package left of it; and of a cell of another grid.
    (state / "older.pt").touch()
    (states / "other").mkdir()
    died = forks.run(swept, tmp_path, [1], minari_root, cells)
    assert died.code == -signal.SIGKILL
    assert not state.exists()
    assert leftovers(cells)
    assert len(list(cells.glob("*.json"))) == 2
    done = forks.run(swept, tmp_path, [0, 1], minari_root)
    assert done.error is None, done.error
    assert done.value.n_run == 0
    assert not leftovers(tmp_path)
    assert list(states.iterdir()) == [states / "other"]
