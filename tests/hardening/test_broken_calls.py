"""Wrong arguments of what stands beside training: statistics, diagnostics, shrinking, imports."""

import inspect
import itertools

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_prune import prune_and_shrink
from offline_prune.agents.agent import Agent
from offline_prune.data import import_file
from offline_prune.diagnostics import NetworkDiagnostics, gradient_signal, score_stability
from offline_prune.evaluation import statistics
from offline_prune.saliency import SALIENCIES
from tests.hardening.cases import cases
from tests.hardening.test_broken_configurations import BEYOND_MEMORY, ODD, amount, tried
from tests.pops.worlds import trained
from tests.worlds import dataset

NUMBER = itertools.count()
DATA = dataset("vector-discrete")
SCORES = {"a": np.arange(5.0), "b": np.arange(5.0) + 1}
QUICK = {"level": 0.9, "n_resamples": 20, "seed": 1}
STATISTICS = {
    "final_window_mean": {"curve": [1.0, 2.0], "window": 1},
    "iqm": {"values": [1.0, 2.0], "axis": -1},
    "interquartile_mean": {"scores": SCORES, **QUICK},
    "ratio_to_dense": {"pruned": SCORES, "dense": SCORES, "least": 0.1, "bar": 0.9, **QUICK},
    "hedges_g": {"ours": [1.0, 2.0], "theirs": [1.0, 2.0]},
    "holm": {"p_values": {"a": 0.1}},
    "probability_of_improvement": {"ours": SCORES, "theirs": SCORES, "level": 0.9},
    "performance_profile": {"scores": SCORES, "thresholds": [0.5], **QUICK},
}
VALUES = st.one_of(ODD, st.lists(ODD, max_size=3), st.dictionaries(st.sampled_from("ab"), ODD))


@cases(400)
@given(data=st.data(), name=st.sampled_from(sorted(STATISTICS)), value=VALUES)
def test_statistics(data, name, value):
    options = STATISTICS[name]
    argument = data.draw(st.sampled_from(sorted(options)))
    if argument == "n_resamples" and amount(value) and value is not BEYOND_MEMORY:
        return
    tried(getattr(statistics, name), **options | {argument: value})


@pytest.fixture(scope="module")
def teacher():
    return trained("vector-discrete", "bc")


@cases(150)
@given(
    name=st.sampled_from(
        ["teacher", "dataset", "objective", "lower_bound", "gate", "gate_interval", "n_steps",
         "gate_episodes", "distil_steps", "patience", "minimum_width", "max_iterations",
         "batch_size", "temperature", "learning_rate", "seed", "final_sparsity", "evaluate",
         "progress"]
    ),
    value=ODD,
)  # fmt: skip
def test_prune_and_shrink(name, value, teacher):
    if amount(value):
        return
    options = {
        "teacher": teacher, "dataset": DATA, "n_steps": 2, "distil_steps": 2, "gate_interval": 1,
        "gate": "agreement", "max_iterations": 1, "evaluate": 0, "progress": False, name: value,
    }  # fmt: skip
    tried(prune_and_shrink, **options)


@cases(150)
@given(
    call=st.sampled_from([NetworkDiagnostics, gradient_signal, score_stability]),
    name=st.sampled_from(
        ["n_batches", "seed", "sparsity", "draws", "n_transitions", "tau", "delta", "average",
         "allocation"]
    ),
    value=ODD,
)  # fmt: skip
def test_diagnostics(call, name, value, teacher):
    options = {"data": DATA}
    if call is not NetworkDiagnostics:
        options |= {"agent": Agent.of(teacher, "bc"), "n_batches": 1}
    if call is score_stability:
        options |= {"saliency": SALIENCIES["snip"], "sparsity": 0.5, "n_batches": (1,), "draws": 2}
    if not amount(value) and name in inspect.signature(call).parameters:
        tried(call, **options | {name: value})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "file.h5"
    with h5py.File(path, "w") as file:
        file["observations"] = np.zeros((4, 2), np.float32)
        file["actions"] = np.zeros((4, 1), np.float32)
        file["rewards"] = np.zeros(4)
        file["terminals"] = np.array([0, 0, 0, 1])
    return path


@cases(80)
@given(name=st.sampled_from(["path", "dataset_id", "env"]), value=ODD)
def test_import(name, value, recorded):
    options = {"path": recorded, "dataset_id": f"broken/import{next(NUMBER)}-v0"}
    tried(import_file, **options | {name: value})
