"""The command ``export``, as a user runs it."""

import sys

import pytest


@pytest.mark.slow
def test_a_saved_run_is_exported(run, tmp_path):
    out = tmp_path / "run"
    code, _, _ = run(
        "run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".9", "--batches", 1,
        "--steps", 4, "--episodes", 0, "--quiet", "--out", out, "--param", "hidden_units=[16, 16]",
    )  # fmt: skip
    assert code == 0
    code, printed, error = run("export", out, tmp_path / "policy.c")
    assert (code, error) == (0, "")
    assert "agrees with algo.predict on 256 observations" in printed
    assert "dataset: pendulum/mixture-v0" in (tmp_path / "policy.c").read_text()
    code, printed, _ = run("export", out, tmp_path / "policy.c", "--dtype", "int8")
    assert (code, "int8 weights" in printed, "in the mean" in printed) == (0, True, True)
    code, printed, _ = run("export", out, tmp_path / "walker", "--as", "arduino")
    assert (code, "Arduino library of C99" in printed) == (0, True)
    assert (tmp_path / "walker/library.properties").is_file()
    code, printed, _ = run(
        "export", out, tmp_path / "policy.pt", "--dataset", "pendulum/mixture-v0"
    )
    assert code == 0
    assert "TorchScript" in printed
    code, _, error = run("export", out, tmp_path / "policy.txt")
    assert (code, ".onnx" in error) == (2, True)
    code, _, error = run("export", tmp_path, tmp_path / "policy.c")
    assert (code, "not a result" in " ".join(error.split())) == (2, True)


def test_a_zip_is_read_by_the_library_that_wrote_it(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.save_util", None)
    monkeypatch.delitem(sys.modules, "offline_prune.hosts.sb3.files", raising=False)
    code, _, error = run("export", tmp_path / "model.zip", tmp_path / "policy.c")
    error = " ".join(error.split())
    assert (code, "stable_baselines3 is missing: pip install" in error) == (2, True)
