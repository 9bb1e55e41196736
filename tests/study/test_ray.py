"""The same sweep on Ray: a real one, of this machine."""

import pytest

from offline_prune.study import plan, run_cells
from offline_prune.study.ray_workers import run_on_ray
from tests.study.test_sweep import DIVERGING, GRID, contents

# Ray 2.40, the oldest that is allowed, forgets the processes that it ends.
pytestmark = pytest.mark.filterwarnings(
    "default:Exception ignored in. <function Popen.__del__:pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.slow
def test_ray_gives_the_same_table(tmp_path, capfd):
    import ray

    small = {**GRID, "seeds": 1, "methods": "snip"}
    cells = [*plan(**small), *plan(**{**small, "sparsities": 0.5, "algo_params": DIVERGING})]
    local = run_cells(cells, tmp_path / "local", progress=False)
    capfd.readouterr()
    result = run_cells(cells, tmp_path / "ray", backend="ray", workers=2, progress=False)
    assert capfd.readouterr() == ("", "")
    assert not ray.is_initialized()
    assert (result.n_run, result.n_failed) == (3, 1)
    assert result.rows == local.rows
    ours, theirs = contents(tmp_path / "ray"), contents(tmp_path / "local")
    for records in (ours[1], theirs[1]):
        for record in records:
            record["traceback"] = None
    assert ours == theirs


@pytest.mark.slow
def test_a_worker_leaves_no_state_on_its_machine(tmp_path):
    (cell,) = plan(**{**GRID, "seeds": 1, "sparsities": 0})
    (record,) = run_on_ray([cell], 1, tmp_path / "theirs", {})
    assert record["status"] == "ok"
    assert list(tmp_path.glob("theirs/*")) == []
