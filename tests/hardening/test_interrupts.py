"""Ctrl-C at random moments: no traceback, a word on how to go on, nothing left in the agent."""

import contextlib
import io
import os
import random
import signal
import sys

import d3rlpy
import pytest
import torch

from offline_prune import prune_then_train
from offline_prune.cli import main
from tests.hardening.forks import Forks
from tests.hardening.test_kills import leftovers, look_at_result
from tests.worlds import dataset

KIND = "vector-continuous"


@pytest.fixture(scope="module")
def forks(minari_root):
    with Forks() as process:
        yield process


def command(root, *arguments):
    """Run the command line; exit code and what it says."""
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["offline-prune", *map(str, arguments)]
    said = io.StringIO()
    code = 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    return code, said.getvalue()


def run(folder, *more):
    return (
        "run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".8", "--steps", 1509,
        "--episodes", 0, "--param", "hidden_units=[8, 8]", "--param", "batch_size=4",
        "--param", "observation_scaler=null", "--batches", 1, "--out", folder / "run", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(forks, minari_root, tmp_path_factory):
    """An undisturbed run of three epochs, and how many function calls it makes."""
    folder = tmp_path_factory.mktemp("whole")
    forks.warm(command, minari_root, *run(folder / "warm"))
    stated = run(folder, "--checkpoint", folder / "states")
    done = forks.run(command, minari_root, *stated, kind="calls", under=folder)
    assert done.error is None
    assert done.value[0] == 0, done.value
    return look_at_result(folder / "run"), done.events


def test_a_run_stops_and_goes_on(forks, whole, minari_root, tmp_path):
    expected, events = whole
    rng = random.Random(0)
    states = tmp_path / "states"
    stated = run(tmp_path, "--checkpoint", states)
    # In the first epoch; in the second; in the third, as a run that goes on counts anew.
    for earliest, latest in ((0.1, 0.3), (0.45, 0.6), (0.4, 0.55)):
        moment = int(rng.uniform(earliest, latest) * events)
        stopped = forks.run(
            command, minari_root, *stated,
            kind="calls", die_at=moment, under=tmp_path, by=signal.SIGINT,
        )  # fmt: skip
        code, said = stopped.value
        assert code == 130, said
        assert "Traceback" not in said
        assert not (tmp_path / "run").exists()
        assert not leftovers(tmp_path)
        if list(states.glob("*.pt")):
            assert f"Stopped; the state of unfinished runs is in {states}" in said
            assert "the same command goes on after the last whole epoch" in said
        else:
            assert f"nothing was saved in {states} yet" in said
    assert list(states.glob("*.pt"))
    done = forks.run(command, minari_root, *stated)
    assert done.value[0] == 0, done.value
    assert look_at_result(tmp_path / "run") == expected
    assert list(states.iterdir()) == []


@pytest.mark.parametrize("seed", range(3))
def test_without_a_checkpoint_it_says_so(seed, forks, whole, minari_root, tmp_path):
    moment = random.Random(seed).randint(20_000, whole[1] // 2)
    stopped = forks.run(
        command, minari_root, *run(tmp_path),
        kind="calls", die_at=moment, under=tmp_path, by=signal.SIGINT,
    )  # fmt: skip
    code, said = stopped.value
    assert code == 130, said
    assert "Traceback" not in said
    assert "Stopped; nothing was saved. A run with --checkpoint FOLDER can go on." in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", ["masked", "compact", "sparse"])
def test_nothing_of_ours_stays_in_the_algorithm(engine):
    data = dataset(KIND)
    encoder = d3rlpy.models.VectorEncoderFactory([24, 24])
    algo = d3rlpy.algos.IQLConfig(
        batch_size=16, actor_encoder_factory=encoder, critic_encoder_factory=encoder,
        value_encoder_factory=encoder,
    ).create()  # fmt: skip
    algo.create_impl(data.metadata.observation_shape, data.metadata.action_size)
    modules = [m for m in vars(algo.impl.modules).values() if isinstance(m, torch.nn.Module)]
    before = [
        (name, parameter.shape)
        for module in modules
        for name, parameter in module.named_parameters()
    ]
    seen = []

    def interrupt(algo, epoch, step):
        seen.append(hooks(modules))
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune_then_train(
            data, algo, 0.8, n_steps=4, evaluate=0, engine=engine, progress=False,
            callback=interrupt,
        )  # fmt: skip
    assert any(seen)  # the engine did hold on to it
    assert hooks(modules) == 0
    assert before == [
        (name, parameter.shape)
        for module in modules
        for name, parameter in module.named_parameters()
    ]


def hooks(modules):
    """Hooks of the modules and their parameters, of any kind."""
    count = 0
    for module in (inner for outer in modules for inner in outer.modules()):
        for name, found in vars(module).items():
            if name.endswith("_hooks") and isinstance(found, dict):
                count += len(found)
        for parameter in module.parameters(recurse=False):
            count += len(parameter._backward_hooks or ())
            count += len(parameter._post_accumulate_grad_hooks or ())
    return count
