"""Which cells a grid has, what they are called, and what is refused before anything runs."""

import dataclasses
import random
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.errors import (
    DatasetError,
    InputError,
    OfflinePruneError,
    SparsityError,
    UnknownNameError,
)
from offline_prune.run.automatic import SEARCH_OPTIONS
from offline_prune.study import Cell, plan, read_grid, run_cells, sweep
from offline_prune.study.checks import check_cells

DATASET = "pendulum/mixture-v0"
GRID = """
datasets = ["pendulum/mixture-v0"]
algos = ["bc", "iql"]
sparsities = [0.0, 0.9, 0.95]
seeds = 2
evaluate = 3

[methods]
iql = ["snip"]
"*" = ["snip", "shuffled(snip)"]

[n_steps]
bc = 100

[algo_params.iql]
hidden_units = [32, 32]

[[exclude]]
algo = "bc"
method = "snip"
sparsity = [0.95]
"""


def described(cells):
    return [(c.seed, c.algo, c.method, c.sparsity) for c in cells]


def test_a_grid_file(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    cells = read_grid(tmp_path / "grid.toml")
    one_seed = [
        ("bc", "dense", 0.0),
        ("bc", "snip", 0.9),
        ("bc", "shuffled(snip)", 0.9),
        ("bc", "shuffled(snip)", 0.95),
        ("iql", "dense", 0.0),
        ("iql", "snip", 0.9),
        ("iql", "snip", 0.95),
    ]
    assert described(cells) == [(seed, *rest) for seed in (0, 1) for rest in one_seed]
    assert {(c.algo, c.n_steps) for c in cells} == {("bc", 100), ("iql", None)}
    assert {c.evaluate for c in cells} == {3}
    assert all((c.algo == "iql") == bool(c.algo_params) for c in cells)


def test_the_dense_run_is_one_cell_whatever_is_said_about_pruning():
    cells = plan(
        DATASET, "bc", [0, 0.5], ["dense", "snip", "random"], [3], allocation="erk", refill=True
    )
    assert described(cells) == [
        (3, "bc", "dense", 0.0),
        (3, "bc", "snip", 0.5),
        (3, "bc", "random", 0.5),
    ]
    assert Cell(DATASET, "bc", sparsity={"actor": 0.0}, method="snip") == Cell(DATASET, "bc")
    assert cells[0] == Cell(DATASET, "bc", 3)


def test_cells_take_allocations_with_arguments():
    allocations = ("floor", "floor(fan_in=8)", "constant_fan_in(layers=global)")
    cells = [Cell(DATASET, "bc", 0, "snip", 0.9, allocation=text) for text in allocations]
    check_cells(cells)
    assert len({cell.id for cell in cells}) == 3


def test_arrays_and_ranges_are_lists():
    cells = plan(DATASET, "bc", np.array([0.5, 0.9]), "snip", np.arange(2))
    assert cells == plan(DATASET, "bc", (0.5, 0.9), ["snip"], range(2))
    assert Cell(DATASET, "bc", np.int64(1)).id == Cell(DATASET, "bc", 1).id
    by_role = Cell(DATASET, "bc", 1, "snip", {"actor": np.float32(0.5)})
    assert by_role.id == Cell(DATASET, "bc", 1, "snip", {"actor": 0.5}).id


def test_a_name_says_everything_and_never_changes():
    """The name of the first cell is fixed here: a change would orphan every study."""
    cell = Cell(
        DATASET,
        "bc",
        1,
        "snip",
        0.9,
        n_steps=10,
        algo_params={"b": 1, "a": (1, 2)},
        parameterization="standard",
        averaging="none",
    )
    assert cell.id == "a0e2083fda1bca81"
    # What is chosen by default today is another run than that of yesterday.
    assert dataclasses.replace(cell, parameterization=None, averaging=None).id != cell.id
    dense = dataclasses.replace(cell, method="dense")
    assert dataclasses.replace(dense, averaging=None).id == dense.id
    params = MappingProxyType({"a": np.array([1, 2]), "b": np.int64(1)})
    same = dataclasses.replace(cell, algo_params=params)
    assert same.id == cell.id
    changed = {
        "dataset": "cartpole/mixture-v0",
        "algo": "iql",
        "seed": 2,
        "method": "grasp",
        "sparsity": 0.95,
        "n_steps": 11,
        "batch_size": 3,
        "algo_params": {},
        "feature_steps": 1,
        "frame_stack": 2,
        "transition_steps": 3,
        "max_episode_steps": 5,
        "target_return": 3.0,
        "allocation": "erk",
        "n_batches": 2,
        "structure": "units",
        "average": "scores",
        "float64": True,
        "refill": True,
        "rescale": True,
        "parameterization": "sparse",
        "averaging": "tail",
        "share_critics": True,
        "engine": "masked",
        "device": "cuda",
        "evaluate": 2,
        "held_out": 0.5,
        "ope_steps": 2,
        "ope_fits": 2,
        "retain": 0.5,
        "max_sparsity": 0.9,
        "search_seeds": 2,
        "evaluations": 2,
        "window": 1,
    }
    assert set(changed) == {field.name for field in dataclasses.fields(Cell)}
    search = dataclasses.replace(cell, sparsity="auto")
    names = {
        dataclasses.replace(search if name in SEARCH_OPTIONS else cell, **{name: value}).id
        for name, value in changed.items()
    }
    assert len(names | {cell.id, search.id}) == len(changed) + 2
    # What is said of searches is nothing to a cell whose sparsity is given.
    assert dataclasses.replace(cell, retain=0.5).id == cell.id


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False) | st.text(), max_size=4))
@settings(max_examples=50)
def test_a_cell_survives_json_whatever_the_order(params):
    items = list(params.items())
    random.Random(0).shuffle(items)
    cell = Cell(DATASET, "bc", algo_params=params)
    assert Cell(**Cell(DATASET, "bc", algo_params=dict(items)).to_dict()) == cell
    assert Cell(**cell.to_dict()).id == cell.id


GOOD = {"datasets": DATASET, "algos": ["bc"], "sparsities": [0.5], "methods": ["snip"], "seeds": 1}
WRONG = {
    "dataset": ({"datasets": ["pendlum/mixture-v0"]}, UnknownNameError, "pendulum"),
    "path": ({"datasets": ["./nowhere"]}, OfflinePruneError, "nowhere"),
    "algorithm": ({"algos": ["bcc"]}, UnknownNameError, "Did you mean"),
    "method": ({"methods": ["snipp"]}, UnknownNameError, "'snip'"),
    "modifier": ({"methods": ["shuffled(gmp)"]}, InputError, "prunes while training"),
    "sparsity": ({"sparsities": [95]}, InputError, "percentage"),
    "role": ({"sparsities": [{"critic": 0.5}]}, UnknownNameError, "critic"),
    "allocation": ({"allocation": "local"}, UnknownNameError, "erk"),
    "engine": ({"engine": "warp"}, UnknownNameError, "masked"),
    "average": ({"average": "median"}, UnknownNameError, "gradients"),
    "hyperparameter": (
        {"algo_params": {"bc": {"learning_rat": 1}}},
        UnknownNameError,
        "learning_rate",
    ),
    "seed": ({"seeds": [-1]}, InputError, "seed"),
    "device": ({"device": "warp"}, InputError, "warp"),
    "points": ({"n_steps": 10, "evaluations": 3}, InputError, "evenly spaced"),
    "no points": ({"evaluations": 0}, InputError, "evaluations"),
    "episodes": ({"evaluate": -1}, InputError, "episodes"),
    "window": ({"window": 0}, InputError, "window"),
    "refill": ({"methods": ["gmp"], "refill": True}, InputError, "refill"),
    "structure": ({"methods": ["set"], "structure": "units"}, InputError, "cannot have structure"),
    "groups": ({"sparsities": [0.2], "structure": "2:4"}, SparsityError, "2:4 at most"),
    "room": ({"n_batches": 10**15}, InputError, "n_batches=.* of memory"),
    "option": ({"n_step": 10}, UnknownNameError, "n_steps"),
    "parameters that are no table": ({"algo_params": 3}, InputError, "algo_params has a table"),
    "parameters of all": ({"algo_params": {"*": [1]}}, InputError, "algo_params has a table"),
    "exclude": ({"exclude": 5}, InputError, "exclude takes tables"),
    "huge seeds": ({"seeds": 10**30}, InputError, "more cells than"),
    "huge points": ({"evaluate": 0, "evaluations": 10**30}, InputError, "at most 64 bits"),
    "field": ({"n_steps": object()}, InputError, "n_steps of a study is made of"),
    "no seeds": ({"seeds": 0}, InputError, "seeds is a whole number from 1"),
    "odd seeds": ({"seeds": ["a"]}, InputError, "seed is a whole number"),
    "no algorithms": ({"algos": []}, InputError, "empty"),
    "other algorithm's steps": ({"n_steps": {"iql": 5}}, UnknownNameError, "iql"),
    "methods of others": ({"algos": ["bc", "iql"], "methods": {"bc": "snip"}}, InputError, "iql"),
    "axis": ({"exclude": [{"alg": "bc"}]}, UnknownNameError, "algo"),
    "nothing left": ({"exclude": [{"algo": "bc"}]}, InputError, "excluded"),
    "parameter": ({"algo_params": {"bc": {"x": object()}}}, InputError, "written down"),
    "workers": ({"workers": 0}, InputError, "workers"),
    "backend": ({"backend": "slurm"}, UnknownNameError, "ray"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_before_anything_runs(case, tmp_path, monkeypatch):
    changed, error, message = WRONG[case]

    def no_training(*args, **kwargs):
        pytest.fail("it trained")

    monkeypatch.setattr("d3rlpy.algos.QLearningAlgoBase.update", no_training)
    with pytest.raises(error, match=message):
        sweep(**{**GOOD, **changed}, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no grid"),
        ("datasets = [", "not TOML"),
        ("dataset = 'x'", "Did you mean 'datasets'"),
        ("datasets = ['x']\nalgos = ['bc']\nsparsities = [0]", "lacks 'methods'"),
        ("grids = 3", "list of tables"),
        ("algos = ['bc']\n[[grids]]\ndatasets = ['x']", "lacks 'methods'"),
        ("[[grids]]\nmethod = 'x'", "Did you mean 'methods'"),
    ],
)
def test_a_file_that_is_no_grid(content, message, tmp_path):
    if content is not None:
        (tmp_path / "grid.toml").write_text(content)
    with pytest.raises(InputError, match=message):
        read_grid(tmp_path / "grid.toml")


def test_a_file_of_several_grids(tmp_path):
    (tmp_path / "grid.toml").write_text(
        """
        datasets = ["a", "b"]
        algos = ["bc"]
        seeds = 2
        [[grids]]
        methods = ["snip"]
        sparsities = [0.0, 0.9]
        [[grids]]
        methods = ["random", "dense"]
        sparsities = [0.5]
        allocation = "erk"
        """
    )
    cells = read_grid(tmp_path / "grid.toml")
    assert [(c.dataset, c.seed, c.method, c.sparsity, c.allocation) for c in cells] == [
        (dataset, seed, *rest)
        for dataset in ("a", "b")
        for seed in (0, 1)
        for rest in (("dense", 0.0, None), ("snip", 0.9, None), ("random", 0.5, "erk"))
    ]


def test_a_grid_of_fewer_algorithms_inherits_what_is_said_of_its_own(tmp_path):
    (tmp_path / "grid.toml").write_text(
        """
        datasets = ["a"]
        algos = ["bc", "iql"]
        methods = ["snip"]
        sparsities = [0.9]
        seeds = 1
        [n_steps]
        bc = 1
        iql = 2
        [[grids]]
        [[grids]]
        algos = ["iql"]
        sparsities = [{ actor = 0.5 }]
        """
    )
    cells = read_grid(tmp_path / "grid.toml")
    assert [(c.algo, c.n_steps, c.sparsity) for c in cells] == [
        ("bc", 1, 0.9),
        ("iql", 2, 0.9),
        ("iql", 2, {"actor": 0.5}),
    ]


def test_the_error_names_the_cell():
    with pytest.raises(UnknownNameError) as caught:
        check_cells([Cell(DATASET, "bc"), Cell(DATASET, "bc", 7, "snipp", 0.5)])
    assert "bc snipp 0.5 seed 7" in caught.value.__notes__[0]


def test_checking_leaves_the_random_states_alone():
    def drawn():
        return random.random(), np.random.rand(), float(torch.rand(1))

    def seeded():
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)

    seeded()
    expected = drawn()
    seeded()
    check_cells([Cell(DATASET, "bc", 7, "snip", 0.5)])
    assert drawn() == expected


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out is a folder"):
        run_cells([Cell(DATASET, "bc")], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_missing_dataset_is_refused(tmp_path):
    with pytest.raises(DatasetError):
        check_cells([Cell(str(tmp_path), "bc")])
