import json

import pytest

from offline_prune.errors import InputError, OutputDirectoryError
from offline_prune.reporting.runs import plain, read_runs
from offline_prune.study import Cell
from offline_prune.study.records import write_record
from tests.reporting.studies import grid, record, write_study


def test_a_folder_without_cells_is_refused(tmp_path):
    with pytest.raises(OutputDirectoryError, match="not the folder of a study"):
        read_runs(tmp_path)
    (tmp_path / "cells").mkdir()
    with pytest.raises(OutputDirectoryError, match="No cell"):
        read_runs(tmp_path)


def test_a_run_is_what_its_record_says(tmp_path):
    cell = Cell("lab/arm-v0", "bc", 3, "snip", 0.5, algo_params={"hidden_units": [8, 8]})
    write_record(tmp_path, record(cell, 0.75, seconds=4.0))
    (run,) = read_runs(tmp_path)
    assert (run.dataset, run.algo, run.seed, run.method) == ("lab/arm-v0", "bc", 3, "snip")
    assert (run.sparsity, run.by_role, run.error) == (0.5, (), None)
    assert (run.score, run.final_return, run.training_seconds) == (0.75, 50.0, 4.0)
    assert run.params == {"hidden_units": "[8, 8]"}
    assert len(run.curve) == 5
    assert next(layer for _, layer, _ in run.layers) == "_layers.0.weight"


def test_a_return_that_is_not_finite_is_a_failure(tmp_path):
    found = record(Cell("lab/arm-v0", "bc"), 0.5)
    found["result"]["final_window_mean_return"] = float("nan")
    write_record(tmp_path, found)
    (run,) = read_runs(tmp_path)
    assert run.final_return is None
    assert "not finite" in run.error


@pytest.mark.parametrize(
    ("where", "value"),
    [("cell", {}), ("result", {"weights": "many"}), ("timing", None), ("result", {"curve": [1]})],
)
def test_a_record_of_another_form_is_named(tmp_path, where, value):
    (cell,) = grid(["dense"], [0.0], 1)
    write_study(tmp_path, [cell])
    path = tmp_path / "cells" / f"{cell.id}.json"
    found = json.loads(path.read_text())
    found[where] = {**found[where], **value} if where == "result" else value
    path.write_text(json.dumps(found))
    with pytest.raises(InputError, match="not as 'offline-prune sweep' writes it"):
        read_runs(tmp_path)


def test_texts_are_one_printable_line():
    assert plain("a\n b\x1b[31m\u202ec") == "a b\ufffd[31m\ufffdc"
