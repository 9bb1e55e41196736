"""A sweep: independent cells, one table, whatever happens in between."""

import csv
import json
import multiprocessing
import os
import random
import signal
import sys

import loky
import pyarrow.parquet as pq
import pytest

from offline_prune import evaluate, load_dataset, prune_then_train, sweep
from offline_prune.errors import InputError, OutputDirectoryError, UnknownNameError
from offline_prune.evaluation.statistics import final_window_mean
from offline_prune.study import plan, read_records, read_table, run_cells
from offline_prune.study.curve import first_episode
from offline_prune.study.local_workers import run_locally
from offline_prune.study.lock import locked
from offline_prune.study.run import perform
from offline_prune.study.sweep import check_waiting
from offline_prune.study.table import COLUMNS
from tests.figures import FIGURES

TINY = {
    "n_steps": 12,
    "evaluations": 3,
    "window": 2,
    "evaluate": 1,
    "n_batches": 1,
    "algo_params": {"*": {"hidden_units": [8, 8], "batch_size": 16}},
}
GRID = {
    "datasets": "pendulum/mixture-v0",
    "algos": "bc",
    "sparsities": [0, 0.5],
    "methods": ["snip", "gmp"],
    "seeds": 2,
    **TINY,
}
DIVERGING = {"*": {**TINY["algo_params"]["*"], "learning_rate": 1e30}}


def contents(directory):
    """The tables as bytes, and the records without what is never twice the same."""
    records = read_records(directory)
    for record in records:
        del record["timing"]
    return [(directory / name).read_bytes() for name in ("table.csv", "table.parquet")], records


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, minari_root):
    directory = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(minari_root))
        return sweep(**GRID, out=directory, progress=False)


@pytest.mark.slow
def test_the_table_has_a_row_for_each_cell(undisturbed):
    assert (undisturbed.n_run, undisturbed.n_skipped, undisturbed.n_failed) == (6, 0, 0)
    rows = undisturbed.rows
    assert [(r["method"], r["sparsity"], r["seed"]) for r in rows] == [
        ("dense", 0.0, 0),
        ("dense", 0.0, 1),
        ("gmp", 0.5, 0),
        ("gmp", 0.5, 1),
        ("snip", 0.5, 0),
        ("snip", 0.5, 1),
    ]
    assert all(list(row) == list(COLUMNS) for row in rows)
    assert read_table(undisturbed.directory) == rows
    assert pq.read_table(undisturbed.directory / "table.parquet").to_pylist() == rows
    with (undisturbed.directory / "table.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [float(row["mean_return"]) for row in written] == [row["mean_return"] for row in rows]
    timings = (undisturbed.directory / "timings.csv").read_text().splitlines()
    assert len(timings) == 7
    assert sorted(p.name for p in undisturbed.directory.iterdir()) == [
        ".lock", "cells", "table.csv", "table.parquet", "timings.csv",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_cell_is_the_run_that_its_fields_say(undisturbed):
    (record,) = [
        r
        for r in read_records(undisturbed.directory)
        if (r["cell"]["method"], r["cell"]["seed"]) == ("snip", 1)
    ]
    alone = prune_then_train(
        "pendulum/mixture-v0",
        "bc",
        0.5,
        method="snip",
        seed=1,
        n_steps=12,
        evaluate=0,
        n_batches=1,
        algo_params=TINY["algo_params"]["*"],
        progress=False,
    )
    found = record["result"]
    metadata = load_dataset("pendulum/mixture-v0").metadata
    last = evaluate(alone.algo, metadata, 1, seed=first_episode(1, 0, 1))
    assert found["returns"] == list(last.returns)
    assert found["networks"]["actor"]["layer_densities"] == alone.mask.layer_densities
    assert [p["step"] for p in found["curve"]] == [4, 8, 12]
    assert found["curve"][-1]["mean_return"] == found["mean_return"]
    means = [p["mean_return"] for p in found["curve"]]
    assert len(set(means)) == 3
    assert found["final_window_mean_return"] == final_window_mean(means, 2)
    assert json.loads(json.dumps(record)) == record


@pytest.mark.slow
def test_points_on_the_way_change_nothing(tmp_path):
    few, many = (
        sweep(**{**GRID, "seeds": 1, "evaluations": n}, out=tmp_path / str(n), progress=False)
        for n in (1, 6)
    )
    for one, other in zip(few.rows, many.rows, strict=True):
        assert one["mean_return"] == other["mean_return"]


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_a_study_may_grow(undisturbed, tmp_path):
    small = sweep(**{**GRID, "seeds": 1}, out=tmp_path, progress=False)
    assert (small.n_run, len(small.rows)) == (3, 3)
    grown = sweep(**GRID, out=tmp_path, progress=False)
    assert (grown.n_run, grown.n_skipped, len(grown.rows)) == (3, 3, 6)
    assert contents(tmp_path) == contents(undisturbed.directory)


@pytest.mark.slow
def test_a_damaged_record_is_made_anew(undisturbed, tmp_path):
    sweep(**{**GRID, "seeds": 1}, out=tmp_path, progress=False)
    damaged = next((tmp_path / "cells").iterdir())
    damaged.write_text(damaged.read_text()[:50])
    again = sweep(**GRID, out=tmp_path, progress=False)
    assert again.n_run == 4
    assert contents(tmp_path) == contents(undisturbed.directory)


@pytest.mark.slow
def test_what_a_killed_process_wrote_aside_is_removed_and_nothing_else(tmp_path):
    names = (".table.csv", ".table.parquet", ".timings.csv", "cells/.0123456789ab.json")
    leftovers = [tmp_path / f"{name}-0123abcd.partial" for name in names]
    for folder in leftovers:
        folder.mkdir(parents=True)
        (folder / "half").write_text("{")
    theirs = [tmp_path / ".gitignore", tmp_path / "notes.md", tmp_path / ".mine.partial"]
    for file in theirs:
        file.touch()
    sweep(**{**GRID, "seeds": 1, "sparsities": 0}, out=tmp_path, progress=False)
    assert [folder for folder in leftovers if folder.exists()] == []
    assert [file for file in theirs if not file.exists()] == []


@pytest.mark.slow
def test_a_run_killed_in_its_last_evaluation_does_not_train_again(tmp_path, monkeypatch):
    (cell,) = plan(**{**GRID, "seeds": 1, "sparsities": 0.5, "methods": "snip"})
    epochs = []

    def run():
        return perform(cell, tmp_path, {}, lambda: epochs.append(1))

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    undisturbed = perform(cell, None, {})
    with monkeypatch.context() as patch:
        patch.setattr("offline_prune.study.run.evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    trained = len(epochs)
    assert trained > 0
    assert run()["result"] == undisturbed["result"]
    assert len(epochs) == trained


@pytest.mark.slow
def test_a_failing_cell_is_recorded_and_stops_nobody(tmp_path):
    cells = [
        *plan(**{**GRID, "seeds": 1, "sparsities": 0, "algo_params": DIVERGING}),
        *plan(**{**GRID, "seeds": 1, "sparsities": 0}),
    ]
    result = run_cells(cells, tmp_path, progress=False)
    assert (result.n_run, result.n_failed) == (2, 1)
    by_status = {row["status"]: row for row in result.rows}
    assert "NonFiniteError" in by_status["failed"]["error"]
    assert "step 4" in by_status["failed"]["error"]
    assert by_status["failed"]["mean_return"] is None
    assert by_status["ok"]["mean_return"] is not None
    (failed,) = [r for r in read_records(tmp_path) if r["status"] == "failed"]
    assert "Traceback" in failed["traceback"]
    again = run_cells(cells, tmp_path, progress=False)
    assert (again.n_run, again.n_failed) == (0, 1)
    retried = run_cells(cells, tmp_path, retry_failed=True, progress=False)
    assert (retried.n_run, retried.n_failed) == (1, 1)


def test_one_process_at_a_time(tmp_path):
    with (
        locked(tmp_path / "study"),
        pytest.raises(OutputDirectoryError, match=f"process {os.getpid()}"),
    ):
        sweep(**GRID, out=tmp_path / "study", progress=False)
    assert not (tmp_path / "study" / "cells").exists()
    with locked(tmp_path / "study"):
        pass


def test_a_folder_without_cells_has_no_table(tmp_path):
    with pytest.raises(OutputDirectoryError, match="not the folder of a study"):
        read_table(tmp_path)


@pytest.mark.slow
def test_every_cell_is_reported(undisturbed, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    sweep(**{**GRID, "seeds": 1, "methods": "snip"}, out=tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("1/2 pendulum/mixture-v0 bc dense seed 0: return -")
    assert "1 running, 0 failed, 0:00:" in lines[0]
    assert lines[1].endswith("0 running, 0 failed, 0:00:00 left")


@pytest.mark.slow
def test_what_ran_when_its_worker_was_killed_runs_again(undisturbed, tmp_path, monkeypatch):
    pools = []

    class Known(loky.ProcessPoolExecutor):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            pools.append(self)

    monkeypatch.setattr(loky, "ProcessPoolExecutor", Known)
    records = []
    cells = plan(**{**GRID, "seeds": 1, "methods": "gmp"})
    for record in run_locally(cells, 2, tmp_path, {}):
        if not records:
            for process in list(pools[0]._processes):
                os.kill(process, signal.SIGKILL)
        records.append(record)
    assert len(pools) == 2
    expected = {r["id"]: r["result"] for r in read_records(undisturbed.directory)}
    assert len(records) == 2
    for record in records:
        assert record["result"] == expected[record["id"]]


def _die_after(calls, directory, root, report):
    """Sweep in this process, and kill it at the given call of a function in a cell."""
    os.environ["MINARI_DATASETS_PATH"] = root
    count = 0

    def each_call(frame, event, argument):
        nonlocal count
        if event == "call" and (count or frame.f_code is perform.__code__):
            count += 1
            if count == calls:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(each_call)
    sweep(**GRID, out=directory, progress=False)
    sys.setprofile(None)
    report.put(count)


@pytest.mark.slow
def test_a_sweep_killed_at_ten_random_moments_ends_with_the_same_table(
    undisturbed, tmp_path, minari_root
):
    """Moments are counted in function calls, so that writing is hit as well as training."""
    context = multiprocessing.get_context("forkserver")
    preloaded = ["offline_prune", "torch._dynamo", "pyarrow.parquet", "numba"]
    context.set_forkserver_preload(preloaded)
    report = context.Queue()

    def run(calls, directory):
        process = context.Process(
            target=_die_after, args=(calls, directory, str(minari_root), report)
        )
        process.start()
        process.join()
        return process.exitcode

    assert run(-1, tmp_path / "whole") == 0
    n_calls = report.get(timeout=30)
    assert contents(tmp_path / "whole") == contents(undisturbed.directory)
    rng = random.Random(1)
    directory, kills, done = tmp_path / "killed", 0, set()
    while kills < 10 or len(done) < 3:  # until it was hit here and there
        # Longer than any one cell takes, with what a process loads for it.
        code = run(rng.randint(1, n_calls // 2), directory)
        assert code in (0, -signal.SIGKILL)
        done.add(len(list((directory / "cells").glob("[!.]*.json"))))
        if code == 0:  # done before it could be killed: begin another one
            assert contents(directory) == contents(undisturbed.directory)
            directory = tmp_path / f"killed-{kills}"
        kills += code != 0
    FIGURES["processes ended by SIGKILL"] += kills
    assert run(-1, directory) == 0
    assert contents(directory) == contents(undisturbed.directory)
    assert not list(directory.rglob("*.pt"))
    assert {path.name for path in directory.rglob(".*")} == {".lock"}


def test_evaluations_share_no_episode():
    episodes = [
        first_episode(seed, number, 10) + i
        for seed in range(3)
        for number in range(20)
        for i in range(10)
    ]
    assert len(set(episodes)) == len(episodes)


@pytest.mark.slow
def test_a_sequence_model_is_told_its_return_all_along(tmp_path):
    small = {"hidden_units": [8], "num_layers": 1, "num_heads": 1, "batch_size": 4}
    grid = {
        "datasets": "cartpole/mixture-v0", "methods": "snip", "sparsities": 0.8, "n_steps": 4,
        "evaluate": 2, "evaluations": 2, "window": 1, "target_return": 40.0, "progress": False,
        "allocation": "erk", "seeds": [0],
    }  # fmt: skip
    with pytest.raises(InputError, match="is none"):
        sweep(**grid, algos="bc", out=tmp_path / "bc")
    algo = "decision_transformer"
    sweep(**grid, algos=algo, algo_params={algo: small}, out=tmp_path / "dt")
    (record,) = read_records(tmp_path / "dt")
    assert record["status"] == "ok"
    assert record["cell"]["target_return"] == 40.0
    assert [point["step"] for point in record["result"]["curve"]] == [2, 4]


def test_what_failed_is_checked_where_it_would_run_again():
    cells = plan("pendulum/mixture-v0", "bc", [0.5], "snipp", seeds=1, **TINY)
    records = {cell.id: {"status": "failed"} for cell in cells}
    assert check_waiting(cells, records, retry_failed=False) == []
    with pytest.raises(UnknownNameError, match="snipp"):
        check_waiting(cells, records, retry_failed=True)
