import copy
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from minari.data_collector.episode_buffer import EpisodeBuffer

from offline_prune import PruneResult, prune, prune_then_train
from offline_prune.acting.policy import acting_policy
from offline_prune.errors import (
    AlgorithmError,
    ExportError,
    InputError,
    UnknownNameError,
    UnsupportedExportError,
)
from offline_prune.export import FORMATS, export_policy
from offline_prune.export.agreement import check_agreement
from offline_prune.export.source import Source
from tests.data.test_alignment import write
from tests.export.agents import VECTOR, named
from tests.worlds import agent, dataset, params

SUFFIXES = tuple(FORMATS)


def source_of(algo):
    return Source(acting_policy(algo), algo.predict, "algo.predict", {})


@pytest.fixture
def wrong(monkeypatch):
    """Formats that write another policy than they were given."""

    def change(amount):
        for suffix, right in list(FORMATS.items()):

            def write(policy, path, about, right=right):
                other = copy.deepcopy(policy)
                with torch.no_grad():
                    other.networks[0][-1].bias[0] += amount
                right.write(other, path, about)

            monkeypatch.setitem(FORMATS, suffix, dataclasses.replace(right, write=write))

    return change


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("name", "amount"), [("td3", 1e-4), ("dqn", 2.0)])
def test_a_file_that_acts_otherwise_is_not_left(name, amount, suffix, wrong, tmp_path):
    algo, observations = named(name)
    path = tmp_path / f"policy{suffix}"
    wrong(amount)
    with pytest.raises(ExportError, match=r"differ|another action"):
        export_policy(algo, path, observations)
    assert not list(tmp_path.iterdir())
    path.write_text("what was there")
    with pytest.raises(ExportError, match=r"differ|another action"):
        export_policy(algo, path, observations)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "what was there"
    wrong(-amount)  # on top of the first: right again
    export_policy(algo, path, observations)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() != b"what was there"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_writer_that_fails_leaves_nothing(suffix, tmp_path, monkeypatch):
    def full_disk(policy, path, about):
        path.write_text("half of it")
        raise OSError("no space left")

    right = FORMATS[suffix]
    monkeypatch.setitem(FORMATS, suffix, dataclasses.replace(right, write=full_disk))
    algo, observations = named("td3")
    with pytest.raises(OSError, match="no space"):
        export_policy(algo, tmp_path / f"policy{suffix}", observations)
    assert not list(tmp_path.iterdir())


def test_agreement_is_no_matter_of_chance():
    """NaN, the wrong shape and numbers that are no action are errors; ties are not."""
    algo, observations = named("td3")
    source, expected = source_of(algo), algo.predict(observations)
    found = expected.copy()
    found[3] = np.nan
    with pytest.raises(ExportError, match="differ"):
        check_agreement(lambda x: found[: len(x)], expected, source, observations)
    with pytest.raises(ExportError, match="shapes"):
        check_agreement(lambda x: expected[: len(x), :1], expected, source, observations)
    with pytest.raises(ExportError, match="shapes"):
        check_agreement(lambda x: expected, expected, source, observations)
    algo, observations = named("dqn")
    source, expected = source_of(algo), algo.predict(observations)
    for other in (7, -1):
        numbers = expected.copy()
        numbers[5] = other
        with pytest.raises(ExportError, match="another action"):
            check_agreement(lambda x, n=numbers: n[: len(x)], expected, source, observations)


@pytest.mark.parametrize("name", ["dqn", "discrete bcq of two critics"])
def test_ties_are_no_error(name):
    algo, observations = named(name)
    head = algo.impl.modules.q_funcs
    with torch.no_grad():
        for q in head:  # actions 0 and 1 score the same
            q._fc.weight[1], q._fc.bias[1] = q._fc.weight[0], q._fc.bias[0]
        if hasattr(algo.impl.modules, "imitator"):
            algo.impl.modules.imitator._fc.weight.zero_()
            algo.impl.modules.imitator._fc.bias.zero_()
    source, expected = source_of(algo), algo.predict(observations)
    assert (expected == 0).any()
    swapped = np.where(expected == 0, 1, expected)
    found = check_agreement(lambda x: swapped[: len(x)], expected, source, observations)
    assert found.n_ties >= (expected == 0).sum()
    worse = np.where(expected == 0, 2, expected)
    with pytest.raises(ExportError, match="another action"):
        check_agreement(lambda x: worse[: len(x)], expected, source, observations)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bcq_is_refused(suffix, tmp_path):
    algo = agent(VECTOR, "bcq").algo
    with pytest.raises(UnsupportedExportError, match="draw actions"):
        export_policy(algo, tmp_path / f"policy{suffix}", dataset(VECTOR).observations)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["policy.exe", "policy", "policy.PT"])
def test_an_unknown_format_is_refused(name, tmp_path):
    algo, observations = named("td3")
    with pytest.raises(UnknownNameError, match=r"export format.*\.onnx"):
        export_policy(algo, tmp_path / name, observations)


@pytest.mark.parametrize("shape", [(5,), (0, 5), (3, 4), (3, 5, 1), ()])
def test_observations_that_do_not_fit_are_refused(shape, tmp_path):
    with pytest.raises(InputError, match="observations"):
        export_policy(named("td3")[0], tmp_path / "policy.pt", np.zeros(shape, np.float32))
    assert not list(tmp_path.iterdir())


def test_actions_that_are_not_finite_are_refused(tmp_path):
    algo, observations = named("td3")
    with torch.no_grad():
        algo.impl.modules.policy._fc.bias[0] = torch.nan
    for suffix in SUFFIXES:
        with pytest.raises(InputError, match=r"algo\.predict returns NaN"):
            export_policy(algo, tmp_path / f"policy{suffix}", observations)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(package, tmp_path, monkeypatch):
    algo, observations = named("td3")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnsupportedExportError, match=rf"{package}.*offline-prune\[onnx\]"):
        export_policy(algo, tmp_path / "policy.onnx", observations)
    assert not list(tmp_path.iterdir())


def test_a_large_dataset_is_sampled(tmp_path):
    observations = np.random.default_rng(0).normal(size=(1000, 5))  # float64
    written = export_policy(named("td3")[0], tmp_path / "policy.pt", observations)
    assert written.n_checked == 256


@pytest.mark.slow
def test_nothing_is_printed(tmp_path):
    """In a process of its own: torch's loggers keep the stderr they began with."""
    script = (
        "import sys; import offline_prune; from pathlib import Path;"
        " from tests.export.agents import named;"
        " from offline_prune.export import FORMATS, export_policy;"
        " algo, observations = named('td3');"
        " [export_policy(algo, Path(sys.argv[1]) / f'policy{s}', observations) for s in FORMATS]"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.fixture(scope="module")
def result():
    return prune_then_train(
        dataset(VECTOR), "iql", 0.9, n_steps=4, n_steps_per_epoch=2, evaluate=0, progress=False,
        algo_params=params(VECTOR, "iql"),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_results_are_exported(result, suffix, tmp_path):
    written = result.export(tmp_path / f"policy{suffix}", dataset(VECTOR).observations)
    assert written.path == tmp_path / f"policy{suffix}"
    assert written.n_weights - written.n_nonzero > 0.8 * written.n_weights
    assert written.n_exported < 0.6 * written.n_weights
    assert written.n_checked == 96
    loaded = PruneResult.load(result.save(tmp_path / "run"))
    again = loaded.export(tmp_path / f"again{suffix}", dataset(VECTOR).observations)
    assert (again.n_nonzero, again.n_exported) == (written.n_nonzero, written.n_exported)
    if suffix == ".c":
        assert again.path.read_bytes() == written.path.read_bytes()


def test_a_result_without_a_dataset_needs_observations(result, tmp_path):
    with pytest.raises(InputError, match="observations="):
        result.export(tmp_path / "policy.pt")


def test_sparse_kernels_let_go_first(tmp_path):
    data = dataset(VECTOR)
    held, _ = prune(data, "bc", 0.9, algo_params=params(VECTOR, "bc"))
    with pytest.raises(AlgorithmError, match=r"call engine\.detach\(\) first"):
        export_policy(held.algo, tmp_path / "policy.pt", data.observations)
    held.engine.detach()
    export_policy(held.algo, tmp_path / "policy.pt", data.observations)


def test_an_algorithm_that_is_not_known_is_refused(tmp_path):
    import d3rlpy

    algo = d3rlpy.algos.RandomPolicyConfig().create()
    with pytest.raises(AlgorithmError, match="not an algorithm"):
        export_policy(algo, tmp_path / "policy.pt", dataset(VECTOR).observations)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".c", ".onnx", ".pt"])
def test_actions_that_start_elsewhere_are_said(tmp_path, suffix):
    """Stored actions count from 0; this environment's from 5."""
    rng = np.random.default_rng(0)
    episode = EpisodeBuffer(
        observations=rng.normal(size=(13, 4)).astype("f4"),
        actions=rng.integers(5, 8, 12),
        rewards=[0.5] * 12,
        terminations=[False] * 12,
        truncations=[False] * 11 + [True],
    )
    space = Discrete(3, start=5)
    seen = Box(-np.inf, np.inf, (4,), np.float32)
    write(tmp_path / "set", [episode], observation_space=seen, action_space=space)
    result = prune_then_train(str(tmp_path / "set"), "bc", 0.5, n_steps=2, evaluate=0,
                              progress=False, algo_params={"batch_size": 4})  # fmt: skip
    written = export_policy(
        result.algo, tmp_path / f"policy{suffix}", dataset=str(tmp_path / "set")
    )
    assert written.first_action == 5
    assert "add 5 for the environment's" in str(written)
    if suffix == ".c":
        assert "the environment's are 5 more" in written.path.read_text()
