from offline_prune.reporting.runs import read_runs
from offline_prune.reporting.tasks import find_tasks
from offline_prune.study.records import write_record
from tests.reporting.studies import grid, record, write_study


def tasks(directory):
    return find_tasks(read_runs(directory))


def test_runs_are_grouped_by_all_but_the_seed(tmp_path):
    write_study(tmp_path, grid(["snip", "gmp", "shuffled(snip)"], [0.0, 0.5, 0.9], 2))
    (task,) = tasks(tmp_path)
    assert (task.name, task.unit) == ("lab/arm-v0 · bc", "normalised score")
    assert [(g.label, g.sparsity, [r.seed for r in g.runs]) for g in task.groups] == [
        (label, sparsity, [0, 1])
        for label, sparsity in [
            ("dense", 0.0),
            ("snip", 0.5),
            ("snip", 0.9),
            ("shuffled(snip)", 0.5),
            ("shuffled(snip)", 0.9),
            ("gmp", 0.5),
            ("gmp", 0.9),
        ]
    ]
    assert task.dense is task.groups[0]


def test_a_method_with_other_options_is_another_method(tmp_path):
    cells = grid(["random"], [0.0, 0.9], 1, n_batches=1)
    cells += grid(["random"], [0.9], 1, n_batches=1, allocation="erk")
    (task,) = tasks(write_study(tmp_path, cells))
    assert [g.label for g in task.groups] == ["dense", "random", "random, allocation erk"]


def test_runs_trained_differently_are_never_compared(tmp_path):
    params = {"hidden_units": [8, 8]}
    cells = grid(["snip"], [0.0, 0.5], 1, algo_params=params)
    cells += grid(["snip"], [0.0, 0.5], 1, algo_params={**params, "learning_rate": 1e-3})
    cells += grid(["snip"], [0.0], 1, algo_params=params, n_steps=50)
    names = {task.name: len(task.groups) for task in tasks(write_study(tmp_path, cells))}
    assert names == {
        "lab/arm-v0 · bc": 2,
        "lab/arm-v0 · bc (learning_rate 0.001)": 2,
        "lab/arm-v0 · bc (n_steps 50)": 1,
    }


def test_failed_runs_are_apart_and_returns_take_the_place_of_scores(tmp_path):
    good, bad = grid(["dense"], [0.0], 2)
    write_record(tmp_path, record(good, 0.5, reference=False))
    write_record(tmp_path, record(bad, 0.0, error="NonFiniteError: NaN"))
    (task,) = tasks(tmp_path)
    (group,) = task.groups
    assert ([r.seed for r in group.runs], [r.seed for r in group.failed]) == ([0], [1])
    assert task.unit == "return"
    assert task.values(group) == {0: 0.0}


def test_roles_with_a_sparsity_each_are_named(tmp_path):
    (task,) = tasks(write_study(tmp_path, grid(["snip"], [{"critic": 0, "actor": 0.9}], 1)))
    (group,) = task.groups
    assert group.sparsity is None
    assert group.sparsity_text == "actor 90 %, critic 0 %"
