"""What an analysis says of a whole study."""

from offline_prune.reporting import analyse
from tests.reporting.studies import grid, write_study

CONTROLS = ("snip", "shuffled(snip)", "random")


def test_controls_are_shown_where_a_task_has_them(tmp_path):
    usual = grid(CONTROLS, [0.0, 0.95], dataset="lab/a-v0") + grid(["snip"], [0.5])
    usual += grid(CONTROLS, [0.95, 0.99], dataset="lab/c-v0")
    harder = grid(["snip"], [0.0, 0.95], dataset="lab/b-v0")
    harder += grid(CONTROLS, [0.99], dataset="lab/b-v0")
    study = analyse(write_study(tmp_path, usual + harder))
    shown = {task.dataset: study.sparsity_of(task) for task in study.tasks}
    assert study.sparsity == 0.95
    assert shown == {"lab/a-v0": 0.95, "lab/arm-v0": 0.5, "lab/b-v0": 0.99, "lab/c-v0": 0.95}
    (task,) = (task for task in study.tasks if task.dataset == "lab/b-v0")
    assert [c.group.label for c in study.beside(task)] == [
        "dense",
        "snip",
        "random",
        "shuffled(snip)",
    ]
    assert study.title_beside(task) == "lab/b-v0 · bc at 99 %"
