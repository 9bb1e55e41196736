"""The page, the table and the figures of the retention study, and what its verdicts are made of."""

import csv
import io
import json

import pytest

pytest.importorskip("matplotlib")

HERE = "d/medium-v0"


@pytest.fixture
def study(monkeypatch, request):
    """The folder of the study, imported as when one of its files runs as a script."""
    folder = request.config.rootpath / "benchmarks" / "retention"
    monkeypatch.syspath_prepend(folder)
    return folder


def run(score, last=None, curve=((100, 0.2), (200, 0.4), (400, 0.8))):
    """A record, with what verdicts read of it; the curve ends on averaged weights."""
    last = score if last is None else last
    points = [{"step": s, "normalized_score": v, "mean_return": 100 * v} for s, v in curve]
    return {"result": {"normalized_score": score, "last_normalized_score": last, "curve": points,
                       "mean_return": 100 * score, "last_mean_return": 100 * last,
                       "weights_connected": 3500}}  # fmt: skip


def arms(**scores):
    """Of IQL with 400 steps: method → a score a seed; what is not dense has 95 %."""
    from cells import RECIPE, Arm

    return {
        Arm(HERE, "iql", name, 0.0 if name == "dense" else 0.95, RECIPE, 400): {
            seed: run(score) for seed, score in enumerate(found)
        }
        for name, found in scores.items()
    }


@pytest.mark.slow
def test_the_page_and_the_table_follow_from_the_archives(study):
    import csv_file
    import table

    assert (study / "README.md").read_bytes() == table.page().encode()
    assert (study / "cells.csv").read_bytes() == csv_file.csv_text().encode()


@pytest.mark.slow
def test_the_report_of_the_archives_is_the_page_that_is_kept(study):
    import lzma

    import report

    assert lzma.decompress(report.PAGE.read_bytes()) == report.page()


def test_the_table_has_a_line_a_cell_failed_ones_too(study, monkeypatch):
    import csv_file

    cell = {"dataset": HERE, "algo": "iql", "method": "dense", "sparsity": 0.0, "seed": 3,
            "n_steps": 50, "algo_params": {}}  # fmt: skip
    failed = {"id": "a", "cell": cell, "status": "failed", "result": None}
    result = run(0.5, 0.25)["result"] | {
        "n_steps": 50, "weights": 9, "weights_kept": 8, "weights_connected": 7,
        "effective_sparsity": 0.2,
    }  # fmt: skip
    done = failed | {"status": "ok", "result": result, "timing": {"training_seconds": 1.26}}
    monkeypatch.setattr(csv_file, "records_of", {"results": [failed, done]}.get)
    monkeypatch.setattr(csv_file, "SWEEPS", ("results",))
    first, second = csv.DictReader(io.StringIO(csv_file.csv_text()))
    assert (first["status"], first["seed"], first["steps"], first["curve"]) == (
        "failed", "3", "50", "",
    )  # fmt: skip
    assert (second["return_averaged"], second["return_last"]) == ("50.0", "25.0")
    assert (second["training_seconds"], second["weights_connected"]) == ("1.3", "7")
    assert second["curve"] == "100:20 200:40 400:25"


def test_where_some_networks_are_pruned_the_arm_names_them(study):
    from cells import arm_of

    cell = {"dataset": HERE, "algo": "iql", "method": "snip", "seed": 3, "n_steps": 50,
            "sparsity": {"critic": 0.9, "value": 0.9}, "algo_params": {}}  # fmt: skip
    arm = arm_of({"cell": cell, "result": None})
    assert (arm.name, arm.asked) == ("snip 90%", "{pruned: critic and value}")


@pytest.mark.parametrize(
    "otherwise", [{"said": "{pruned: actor}"}, {"said": "{hidden_units: [512]}", "sparsity": 0.987}]
)
def test_agents_pruned_otherwise_stand_beside_the_default(study, otherwise):
    import table

    found = arms(dense=[1.0, 1.0], snip_flow=[0.6, 0.6])
    (default,) = (arm for arm in found if arm.method == "snip_flow")
    some = {default._replace(**otherwise): {seed: run(0.8) for seed in range(2)}}
    first, second = (line.split(" | ") for line in table._limits(some, found).splitlines()[2:])
    assert first[3:6] == [otherwise["said"], "2", "3,500"]
    assert (first[-1][:4], second[3], second[-1][:4]) == ("0.80", "recipe", "0.60")


@pytest.mark.parametrize(
    ("sparsity", "name"), [(0.95, "snip_flow 95%"), (0.987, "snip_flow 98.7%")]
)
def test_an_arm_is_named_by_its_sparsity(study, sparsity, name):
    (arm,) = arms(snip_flow=[1.0])
    assert arm._replace(sparsity=sparsity).name == name


def test_at_equal_steps_the_better_weights_of_the_best_dense_arm_count(study):
    from verdicts import at_equal_steps

    found = arms(dense=[1.0, 1.0], snip_flow=[0.9, 0.9])
    (dense,) = (a for a in found if a.method == "dense")
    found[dense] = {seed: run(1.0, last=1.2) for seed in range(2)}
    found[dense._replace(said="{}")] = {seed: run(1.1) for seed in range(2)}
    (beside,) = at_equal_steps(found)
    assert beside.ratio.value == pytest.approx(0.75)
    assert beside.other == "last weights"
    assert beside.ratio.bar == 0.95


def test_seeds_that_were_run_later_stand_alone(study, monkeypatch):
    import verdicts

    found = arms(dense=[1.0, 1.0, 1.0, 0.5, 0.5], snip_flow=[0.9, 0.9, 0.9, 0.4, 0.4])
    assert list(verdicts.before_and_later(found)) == []
    monkeypatch.setattr(verdicts, "LATER", {HERE: (3, 4)})
    ((first, later),) = verdicts.before_and_later(found)
    assert (first.seeds, later.seeds) == (3, 2)
    assert (first.ratio.value, later.ratio.value) == pytest.approx((0.9, 0.8))


def test_at_equal_time_dense_is_taken_on_its_way(study):
    """400 steps at 3 ms are 300 at 4: between .4 after 200 and the last weights' .8 after 400."""
    from verdicts import at_equal_time

    found = arms(dense=[0.8, 0.8], snip_flow=[0.6, 0.6])
    (beside,) = at_equal_time(found, {"iql": {"stock": 4.0, "0.95": 3.0}})
    assert beside.ratio.value == pytest.approx(1.0)
    (beside,) = at_equal_time(found, {"iql": {"stock": 4.0, "0.95": 0.5}})  # 50: before the first
    assert beside.ratio.value == pytest.approx(3.0)
    assert beside.other == "100 steps (50 are equal)"
    assert list(at_equal_time(found, {"iql": {"stock": 4.0}})) == []


def test_more_steps_stand_beside_all_of_dense(study):
    """1200 steps at 1 ms take three quarters of the time of 400 at 4."""
    from verdicts import after_more_steps

    found = arms(dense=[0.8, 0.8], snip_flow=[0.4, 0.4])
    (ours,) = (arm for arm in found if arm.method == "snip_flow")
    longer = {ours._replace(steps=1200): {seed: run(0.6) for seed in range(2)}}
    (beside,) = after_more_steps(longer, found, {"iql": {"stock": 4.0, "0.95": 1.0}})
    assert beside.ratio.value == pytest.approx(0.75)
    assert beside.other == "averaged weights, 400 steps; in 75% of their time"


def test_a_task_on_which_all_score_alike_decides_nothing(study):
    from verdicts import at_equal_steps, decides

    alike = arms(dense=[1.0, 1.0], snip_flow=[1.0, 0.99])
    assert not decides(alike)
    assert list(at_equal_steps(alike)) == []
    assert decides(alike | arms(random=[0.5, 0.5]))


def test_the_default_stands_beside_its_controls(study):
    from verdicts import beside_controls

    found = arms(dense=[1, 1], snip_flow=[0.8, 0.8], random=[0.4, 0.4], small_dense=[1.0, 1.0])
    ratios = {beside.other: beside.ratio.value for beside in beside_controls(found)}
    assert ratios == pytest.approx({"random, recipe": 2.0, "small_dense, recipe": 0.8})


def test_how_a_curve_ends(study):
    from verdicts import last_quarter

    def word(ends):
        curve = ((100, 0.5), (200, 1.0), (400, 9.0))
        return last_quarter({seed: run(9.0, end, curve) for seed, end in enumerate(ends)})[1]

    assert word([1.0, 1.01, 0.99]) == "flat"
    assert word([1.0, 1.0, 1.0]) == "flat"
    assert word([1.2, 1.21, 1.19]) == "rises"
    assert word([0.8, 0.81, 0.79]) == "falls"
    assert word([0.5, 1.0, 1.5]) == "unclear"
    assert word([1.0]) == ""


def test_verdicts_are_counted_alone_and_together(study):
    from verdict_tables import verdict_section

    text = verdict_section(
        arms(dense=[1, 0.99, 1.01], snip_flow=[0.5, 0.49, 0.51]), {}, lambda _: {}
    )
    assert "1 comparisons: alone 1 not retained; together 1 not retained." in text
    assert "| iql | snip_flow 95% | recipe | 400 | 3 | averaged weights | 0.50 [" in text


def test_of_two_arms_that_score_the_same_neither_is_better(study):
    from verdict_tables import _controls
    from verdicts import beside_controls

    found = arms(dense=[1, 1], snip_flow=[0.8, 0.8], random=[0.8, 0.8], synflow=[0.001, 0.0])
    lines = _controls(list(beside_controls(found))).splitlines()[2:]
    rows = {row[2].split(",")[0]: row[4:6] for row in (line.split(" | ") for line in lines)}
    assert rows["random"] == ["1.00 [1.00, 1.00]", "undecided"]
    assert rows["synflow"] == ["the other fails", "–"]


def test_a_default_is_what_the_recipe_says_or_says_nothing(study):
    (arm,) = arms(snip_flow=[1.0])
    spelt_out = '{"parameterization": "sparse(exponent=0.75)"}'
    assert arm.is_default
    assert arm._replace(said=spelt_out).is_default
    assert not arm._replace(said='{"parameterization": "standard"}').is_default
    pendulum = arm._replace(dataset="pendulum/mixture-v0", algo="bcq")
    assert pendulum._replace(said='{"parameterization": "sparse(exponent=0.5)"}').is_default
    cartpole = arm._replace(dataset="cartpole/mixture-v0", algo="cql")
    assert cartpole.is_default
    assert not cartpole._replace(method="synflow").is_default


def test_figures_show_the_arms_that_there_are(study):
    from figure_kept import kept_figure
    from figure_time import time_figure

    def labels(figure):
        (legend,) = (a.get_legend() for a in figure.axes if a.get_legend())
        return [text.get_text().split(",")[0] for text in legend.get_texts()]

    found = arms(dense=[1, 1], snip_flow=[0.8, 0.9])
    cost = {"iql": {"stock": 4.0, "0.95": 1.0}}
    assert labels(kept_figure(HERE, found, {})) == ["pruned before training"]
    assert labels(time_figure(HERE, found, cost)) == ["dense", "95 % pruned before training"]
    (ours,) = (arm for arm in found if arm.method == "snip_flow")
    longer = {ours._replace(steps=1200): found[ours]}
    assert labels(kept_figure(HERE, found, longer)) == ["pruned before training", "the same"]
    found |= arms(random=[0.5, 0.6], small_dense=[0.5, 0.6])
    assert labels(kept_figure(HERE, found, {})) == [
        "pruned before training", "small dense network", "random mask",
    ]  # fmt: skip


def test_the_default_is_drawn_where_the_same_mask_trained_otherwise_is_better(study):
    from figure_kept import _ratios

    found = arms(dense=[1, 1], snip_flow=[0.8, 0.8])
    dense, ours = found
    found[ours._replace(said='{"parameterization": "standard"}')] = {0: run(0.9), 1: run(0.9)}
    drawn = {arm.is_default: ratio.value for arm, ratio in _ratios(found, {dense: found[dense]})}
    assert drawn == pytest.approx({True: 0.8, False: 0.9})


def test_an_agent_stands_beside_the_dense_one_alike_but_for_rates_and_mask(study):
    import table

    def at(temperature, steps, also=(), **scores):
        said = json.dumps({"weight_temp": temperature} | dict(also))
        found = arms(**scores)
        return {arm._replace(said=said, steps=steps): runs for arm, runs in found.items()}

    also = {"actor_learning_rate": 0.01, "parameterization": "sparse", "refill": True}
    cold = at(1.0, 400, dense=[0.8, 0.8]) | at(1.0, 400, also, snip_flow=[0.4, 0.4])
    warm = at(3.0, 400, dense=[0.4, 0.4], snip_flow=[0.4, 0.4])
    short = at(1.0, 100, dense=[0.1, 0.1], snip_flow=[0.1, 0.1])
    rows = table._beside_dense_alike(cold | warm | short).splitlines()[2:]
    assert [row.split("|")[-2].split()[0] for row in rows] == ["1.00", "0.50", "1.00"]
