"""How many verdicts there are, and which hold at once: on the page and in its files."""

import csv

import pytest

from offline_prune.reporting import analyse
from offline_prune.reporting.csv_files import write_csv_files
from offline_prune.reporting.overview import overview
from offline_prune.reporting.tables import task_table
from offline_prune.study import Cell
from offline_prune.study.records import write_record
from tests.reporting.studies import record

DENSE = [0.8, 0.6, 0.9, 0.7, 0.5]
SURE = [0.5 * v for v in DENSE]  # every pair has this ratio
NARROW = [v * r for v, r in zip(DENSE, (0.85, 0.93, 0.87, 0.90, 0.83), strict=True)]  # nearly
MORE = ("magnitude", "random", "synflow", "px", "fisher")


@pytest.fixture
def analysed(tmp_path):
    """Task → method → scores by seed → the analysis."""

    def call(tasks):
        for algo, scores in tasks.items():
            for method, values in scores.items():
                for seed, value in enumerate(values):
                    cell = Cell("lab/arm-v0", algo, seed, method, 0.9 if method != "dense" else 0.0)
                    write_record(tmp_path, record(cell, value))
        return analyse(tmp_path)

    return call


@pytest.fixture
def study(analysed):
    tasks = {"bc": {"dense": DENSE, "snip": SURE, "grasp": NARROW},
             "iql": {"dense": DENSE, "snip": DENSE}}  # fmt: skip
    return analysed(tasks)


def test_a_task_on_which_all_score_alike_is_not_counted(study):
    assert study.family.undeciding == ("lab/arm-v0 · iql",)
    assert {task for task, _ in study.family.together} == {"lab/arm-v0 · bc"}
    (_, iql) = study.tasks
    assert "decides nothing" in " ".join(task_table(study, iql).notes)


def test_the_page_says_how_many_there_are(study):
    facts = dict(overview(study))
    assert facts["Comparisons"].startswith("2 ratios to dense; 2 verdicts")
    assert facts["Comparisons"].endswith("not counted: lab/arm-v0 · iql")


def test_of_many_a_weak_verdict_holds_alone_only(analysed):
    weak = {"dense": DENSE, "snip": SURE, "grasp": NARROW}
    few, many = analysed({"bc": weak}), analysed({"bc": weak | dict.fromkeys(MORE, NARROW)})
    words = [
        {row[0]: row[2] for row in task_table(found, found.tasks[0]).rows} for found in (few, many)
    ]
    assert words[0]["grasp"] == "no"
    assert words[1]["grasp"] == "no, alone"
    assert words[1]["snip"] == "no"
    assert words[1]["dense"] == "–"


def test_the_files_have_both_verdicts(study, tmp_path):
    write_csv_files(study, tmp_path)
    with (tmp_path / "summary.csv").open() as file:
        rows = {(row["algo"], row["method"]): row for row in csv.DictReader(file)}
    snip = rows["bc", "snip"]
    assert (snip["verdict"], snip["together"]) == ("not retained", "not retained")
    assert float(snip["p_corrected"]) < 0.05
    assert float(snip["effect"]) == pytest.approx(
        -2.529, abs=1e-3
    )  # -.35 over .125, and J = 28 / 31
    assert rows["iql", "snip"]["together"] == ""
