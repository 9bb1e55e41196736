"""``offline-prune sweep``, run as a user runs it."""

import functools
import json
import signal
import subprocess
import sys

import pytest

GRID = """
datasets = ["pendulum/mixture-v0"]
algos = ["bc"]
sparsities = [0.0, 0.5]
methods = ["snip"]
seeds = 1
n_steps = 12
evaluations = 3
evaluate = 1
n_batches = 1

[algo_params.bc]
hidden_units = [8, 8]
batch_size = 16
"""


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    return tmp_path / "grid.toml"


@pytest.fixture
def run(run):
    """The command itself, with the first argument given."""
    return functools.partial(run, "sweep")


@pytest.mark.slow
def test_a_grid_runs_and_is_done(run, grid, tmp_path):
    out = tmp_path / "out"
    code, printed, error = run(grid, "--out", out)
    assert code == 0
    assert "2 cells ran, 0 were done before" in printed
    assert "table.csv" in printed
    assert error.startswith("1/2 pendulum/mixture-v0 bc dense seed 0")
    code, printed, error = run(grid, "--out", out, "--json")
    assert (code, error) == (0, "")
    assert [row["method"] for row in json.loads(printed)] == ["dense", "snip"]
    code, printed, _ = run(grid, "--out", out, "--dry-run")
    assert code == 0
    assert [line.split()[1] for line in printed.splitlines()] == ["ok", "ok"]


def test_failed_cells_exit_with_1(run, grid, tmp_path):
    grid.write_text(GRID + "learning_rate = 1e30\n")
    out = tmp_path / "out"
    code, _, error = run(grid, "--out", out, "--quiet")
    assert code == 1
    assert "2 of 2 cells failed" in error
    assert "--retry-failed" in error


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_a_wrong_cell_is_named(options, run, grid, tmp_path):
    grid.write_text(GRID.replace("snip", "snipp"))
    code, printed, error = run(grid, "--out", tmp_path / "out", *options)
    assert (code, printed) == (2, "")
    assert "Did you mean 'snip'" in error
    assert "In the cell: pendulum/mixture-v0 bc snipp 0.5 seed 0" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_ctrl_c_stops_and_says_how_to_go_on(grid, tmp_path):
    """With two workers; the first line of progress says that it is under way."""
    grid.write_text(GRID.replace("seeds = 1", "seeds = 60"))
    command = [
        sys.executable,
        "-m",
        "offline_prune.cli",
        "sweep",
        grid,
        "--out",
        tmp_path / "out",
    ]
    process = subprocess.Popen(
        [*command, "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs, and so this test, with Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode in (1, 130)  # by the version of click
    assert first.startswith("1/120")
    assert "of 120 cells are done. The same command goes on where it stopped." in error
    assert "Traceback" not in error
    done = len(list((tmp_path / "out" / "cells").glob("*.json")))
    assert f"Stopped: {done} of 120" in error
    assert len((tmp_path / "out" / "table.csv").read_text().splitlines()) == 1 + done
