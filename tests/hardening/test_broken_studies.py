"""Every wrong grid is refused by name before anything runs, or its cells run."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_prune import report, sweep
from offline_prune.study import plan, read_grid, read_table
from offline_prune.study.cell import Cell
from tests.hardening.cases import cases
from tests.hardening.test_broken_configurations import AMOUNTS, HUGE_TEXT, ODD, long_work, tried
from tests.reporting.studies import grid, write_study

GRID = {
    "datasets": "pendulum/mixture-v0", "algos": ["bc", "td3_plus_bc"], "sparsities": [0, 0.5],
    "methods": "snip", "seeds": 1, "n_steps": 2, "evaluations": 1, "window": 1, "evaluate": 0,
    "n_batches": 1, "algo_params": {"*": {"hidden_units": [2], "batch_size": 4}},
}  # fmt: skip
ARGUMENTS = [*GRID, "exclude", *(f.name for f in dataclasses.fields(Cell)), "workers_", ""]
#: As lists and tables, which most arguments may be.
NESTED = st.one_of(
    ODD,
    st.lists(ODD, max_size=2),
    st.dictionaries(st.sampled_from(["*", "bc", "x", "actor", "seed", "hidden_units"]), ODD),
    st.dictionaries(st.sampled_from(["*", "bc"]), st.dictionaries(st.text(max_size=3), ODD)),
    st.lists(st.dictionaries(st.sampled_from(["seed", "method", "x"]), ODD), max_size=2),
)


def values_in(value):
    """The values of lists and tables, at any depth."""
    if isinstance(value, dict | list | tuple | set):
        inner = value.values() if isinstance(value, dict) else value
        return [found for each in inner for found in values_in(each)]
    return [value]


def asks_for_long_work(name, value):
    found = values_in(value)
    if name == "seeds":
        return any(isinstance(v, int) and v > 100 for v in found)
    if name in AMOUNTS and isinstance(value, dict) and "*" not in value:
        return True  # an algorithm that is left out gets the recipe's own
    return any(long_work(name, v) for v in found)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """New folders; text that is a path leads to folders beside them."""
    base = tmp_path_factory.mktemp("studies")
    here = base / "a" / "b" / "c"
    here.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        yield (base / str(i) for i in itertools.count())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("reported") / "study", grid(["snip"], [0.5], 1))


@cases(300)
@given(name=st.sampled_from(ARGUMENTS), value=NESTED)
def test_plan(name, value):
    if name != "seeds" or not asks_for_long_work(name, value):
        tried(plan, **GRID | {name: value})


@cases(120)
@given(name=st.sampled_from(ARGUMENTS), value=NESTED)
def test_sweep(name, value, folders):
    if asks_for_long_work(name, value):
        return
    folder = next(folders)
    done, error = tried(sweep, **GRID | {name: value}, out=folder, progress=False)
    if error is not None:
        assert str(error)
        assert len(str(error)) < 20_000
        assert not folder.exists()
        return
    assert len(done.rows) == done.n_run > 0
    failed = [row["error"] for row in done.rows if row["status"] == "failed"]
    assert all(said.startswith("NonFiniteError") for said in failed), failed
    assert read_table(folder) == done.rows


@cases(60)
@given(
    name=st.sampled_from(["out", "workers", "backend", "retry_failed", "progress"]), value=ODD
)  # fmt: skip
def test_options_of_a_sweep(name, value, folders):
    if (isinstance(value, str) and value == "/") or (name == "workers" and isinstance(value, int)):
        return  # as it says
    options = {"out": next(folders), "progress": False, name: value}
    tried(sweep, **GRID | {"sparsities": 0, "algos": "bc"} | options)


@cases(60)
@given(name=st.sampled_from(["directory", "out"]), value=ODD)
def test_report(name, value, folders, study):
    tried(report, **{"directory": study, "out": next(folders), name: value})


TEXT = f"""
datasets = "pendulum/mixture-v0"
algos = "bc"
sparsities = [0, 0.5]
methods = ["snip", "gmp"]
seeds = 2
n_steps = 10
exclude = [{{ method = "gmp", seed = 1 }}]
[algo_params.bc]
hidden_units = [4]
experiment = "{HUGE_TEXT[:9]}"
[[grids]]
methods = "random"
"""


@cases(200)
@given(
    begin=st.integers(0, len(TEXT)),
    length=st.integers(0, 8),
    put=st.one_of(
        st.sampled_from(["", "[", "]", "{", "\n", "nan", "true", "[[grids]]", '"', "0", "= 1\n"]),
        st.text(st.characters(codec="utf-8"), max_size=4),
    ),
)
def test_grid_files(begin, length, put, folders):
    path = next(folders)
    path.write_bytes((TEXT[:begin] + put + TEXT[begin + length :]).encode())
    tried(read_grid, path)
