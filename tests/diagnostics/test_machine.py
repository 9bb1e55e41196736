import importlib.util
import shutil

import torch

from offline_prune.diagnostics import machine
from offline_prune.diagnostics.machine import examine_machine
from offline_prune.engines.sparse_mlp import SparseMLP


def found(subject):
    return next(finding for finding in examine_machine() if finding.subject == subject)


def test_a_whole_machine_needs_no_advice():
    assert "work" in found("sparse kernels").found
    assert torch.__version__.split("+")[0] in found("versions").found
    assert [f.advice for f in examine_machine() if f.subject in ("C compiler", "datasets")] == [
        "",
        "",
    ]
    assert not any(finding.subject.startswith("extra") for finding in examine_machine())


def test_what_is_missing_is_named_with_what_to_do(monkeypatch):
    find = importlib.util.find_spec
    gone = ("numba", "onnxruntime")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in gone else find(name, *a)
    )
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    assert "offline-prune[fast]" in found("sparse kernels").advice
    assert found("extra onnx").found == "onnxruntime missing"
    assert "gcc" in found("C compiler").advice


def test_threads_beyond_the_cores_are_noticed(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    assert found("threads").advice.startswith("OMP_NUM_THREADS=")


def test_kernels_that_compute_something_else_are_noticed(monkeypatch):
    right = SparseMLP.as_dense_layers
    monkeypatch.setattr(SparseMLP, "as_dense_layers", lambda *a: 1.01 * right(*a))
    assert "differ" in found("sparse kernels").found


def test_kernels_that_no_folder_keeps_are_noticed(monkeypatch):
    monkeypatch.setattr(machine, "_cache_is_writable", lambda: False)
    assert "NUMBA_CACHE_DIR" in found("sparse kernels").advice
