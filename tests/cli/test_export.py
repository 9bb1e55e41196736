"""The command ``export``, as a user runs it."""

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
    code, printed, _ = run(
        "export", out, tmp_path / "policy.pt", "--dataset", "pendulum/mixture-v0"
    )
    assert code == 0
    assert "TorchScript" in printed
    code, _, error = run("export", out, tmp_path / "policy.txt")
    assert (code, ".onnx" in error) == (2, True)
    code, _, error = run("export", tmp_path, tmp_path / "policy.c")
    assert (code, "not a result" in " ".join(error.split())) == (2, True)
