"""A grid may leave sparsities open, and judge by held-out episodes."""

import pytest

from offline_prune import report, sweep
from offline_prune.errors import InputError
from offline_prune.study import plan, read_records
from offline_prune.study.checks import check_cells
from offline_prune.study.run import perform

TINY = {
    "n_steps": 12,
    "n_batches": 1,
    "algo_params": {"*": {"hidden_units": [8, 8], "batch_size": 16}},
    "evaluate": "ope",
    "ope_steps": 2,
    "ope_fits": 2,
    "max_sparsity": 0.8,
    "search_seeds": 2,
}
GRID = {
    "datasets": "pendulum/mixture-v0",
    "algos": "bc",
    "sparsities": [0, "auto", {"actor": "auto"}],
    "methods": "snip",
    "seeds": 1,
    **TINY,
}


@pytest.mark.slow
def test_a_cell_may_leave_its_sparsity_open(tmp_path):
    swept = sweep(**GRID, out=tmp_path, progress=False)
    assert (swept.n_run, swept.n_failed) == (3, 0)
    dense, by_role, chosen = swept.rows
    assert dense["sparsity"] == 0.0
    assert dense["fitted_q"] is not None
    assert dense["behaviour"] < 0
    assert (chosen["sparsity"], chosen["sparsity_by_network"]) == (None, '{"actor": "auto"}')
    assert (by_role["sparsity"], by_role["sparsity_by_network"]) == (None, '"auto"')
    found = [record["result"]["search"] for record in read_records(tmp_path)]
    assert found[0] is None
    assert [search["candidates"][0]["sparsity"] for search in found[1:]] == [0.8, {"actor": 0.8}]
    assert not (tmp_path / "checkpoints").exists()
    text = report(tmp_path).page.read_text()
    assert "auto" in text


def test_a_search_that_was_killed_goes_on_in_another_process(tmp_path):
    (cell,) = plan(**{**GRID, "sparsities": "auto"})
    beats = []

    def beat():
        beats.append(1)
        if len(beats) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(cell, tmp_path, {}, beat)
    (search,) = (tmp_path / cell.id).glob("auto-*")
    done = sorted(place.name for place in search.iterdir() if place.name != "unfinished")
    assert done == ["0.0-0"]
    again = []
    record = perform(cell, tmp_path, {}, lambda: again.append(1))
    assert record["status"] == "ok", record["traceback"]
    assert len(again) == 2  # of three agents one was there
    assert record["result"] == perform(cell, None, {})["result"]


def test_what_a_search_cannot_be_is_told_before_any_cell_runs():
    for options, message in (
        ({"evaluate": 0}, "evaluate=0"),
        ({"retain": 2}, "retain"),
        ({"sparsities": [0.5]}, "max_sparsity says"),
    ):
        with pytest.raises(InputError, match=message):
            check_cells(plan(**{**GRID, **options}))


@pytest.mark.slow
def test_the_curve_of_a_search_is_the_point_of_what_was_chosen():
    (cell,) = plan(
        "cartpole/mixture-v0", "bc", "auto", "snip_flow", 1, n_steps=250, evaluations=5,
        evaluate=1, retain=0.05, max_sparsity=0.8, search_seeds=3,
        algo_params={"*": {"hidden_units": [32, 32]}},
    )  # fmt: skip
    record = perform(cell, None, {})
    assert record["status"] == "ok", record["traceback"]
    (point,) = record["result"]["curve"]
    assert point["mean_return"] == record["result"]["mean_return"]
