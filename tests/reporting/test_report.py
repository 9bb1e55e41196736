"""A report of a real sweep, and of hostile records."""

import csv
import hashlib
import io
import re
import sys
from html.parser import HTMLParser

import pytest
from matplotlib.colors import to_hex, to_rgba_array
from rich.console import Console

from offline_prune import report, sweep
from offline_prune.cli import main
from offline_prune.errors import OfflinePruneError, OutputDirectoryError
from offline_prune.reporting.analysis import analyse
from offline_prune.reporting.figures import FIGURES
from offline_prune.reporting.figures.canvas import styled
from offline_prune.reporting.tables import failed_table, task_table
from offline_prune.reporting.terminal import rendered
from offline_prune.study import Cell, read_table
from offline_prune.study.records import write_record
from tests.reporting.studies import grid, record, write_study

HOSTILE = "<script>alert(1)</script>\"'&$x_{$ [bold]\x1b[31m]]>"
EVERYTHING = {*FIGURES}


class Tags(HTMLParser):
    """Counts tags, and collects what they load or link to."""

    def __init__(self):
        super().__init__()
        self.tags, self.sources, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [v for k, v in attrs if k in ("src", "srcset", "data", "poster")]
        self.links += [v for k, v in attrs if k == "href"]


def digest(directory):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.iterdir()}


@pytest.fixture(scope="module")
def real(tmp_path_factory, minari_root):
    """A sweep of two tasks, with networks pruned apart, and a cell that failed."""
    directory = tmp_path_factory.mktemp("study")
    tiny = {
        "n_steps": 12,
        "evaluations": 3,
        "window": 2,
        "evaluate": 1,
        "n_batches": 1,
        "algo_params": {"*": {"hidden_units": [8, 8], "batch_size": 16}},
        "out": directory,
        "progress": False,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(minari_root))
        task = ("pendulum/mixture-v0", ["bc", "iql"])
        sweep(*task, [0, 0.3, 0.5], ["snip"], 2, **tiny)
        sweep(*task, 0.5, ["shuffled(snip)", "gmp"], 2, **tiny)
        sweep(task[0], "iql", [{"actor": 0.5}], ["snip"], 2, **tiny)
        lost = Cell(task[0], "bc", 2, "snip", 0.5, algo_params=tiny["algo_params"]["*"],
                    **{k: tiny[k] for k in ("n_steps", "evaluations", "window", "evaluate",
                                            "n_batches")})  # fmt: skip
        write_record(directory, record(lost, 0.0, error="RuntimeError: boom"))
    return directory


@pytest.fixture(scope="module")
def written(real, tmp_path_factory):
    return report(real, tmp_path_factory.mktemp("report") / "out")


@pytest.mark.slow
def test_a_real_sweep_has_every_figure_and_table(real, written):
    assert {p.stem for p in written.figures} == EVERYTHING
    assert {p.suffix for p in written.figures} == {".png", ".svg"}
    names = {p.name for p in written.tables}
    assert names == {"summary.csv", "overall.csv", "curves.csv", "layers.csv", "failed.csv"}
    files = (written.page, *written.figures, *written.tables)
    assert all(p.stat().st_size > 100 for p in files if p.name != "failed.csv")
    assert {p.name for p in written.directory.iterdir()} == {
        *(p.name for p in files),
        "report.json",
    }
    page = written.page.read_text()
    assert "RuntimeError: boom" in page
    for text in ("22 finished, 1 failed", "0.97", "torch ", "shuffled(snip)"):
        assert text in page


@pytest.mark.slow
def test_the_summary_says_what_the_table_of_the_sweep_says(real, written):
    with (written.directory / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    runs = [row for row in read_table(real) if row["status"] == "ok"]
    assert sum(int(row["runs"]) for row in rows) == len(runs)
    assert sum(int(row["failed"]) for row in rows) == 1
    (row,) = [r for r in rows if (r["algo"], r["method"]) == ("iql", "dense")]
    dense = [r["final_window_normalized_score"] for r in runs
             if (r["algo"], r["method"]) == ("iql", "dense")]  # fmt: skip
    assert float(row["iqm"]) == pytest.approx(sum(dense) / 2)
    with (written.directory / "curves.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3 * len(runs)


def test_the_page_needs_nothing_else_and_runs_nothing(written):
    page = Tags()
    page.feed(written.page.read_text())
    assert page.tags.count("img") == len(FIGURES)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert {*page.links} <= {p.name for p in written.directory.iterdir()}
    assert not {"script", "link", "iframe", "object", "embed"} & {*page.tags}
    text = written.page.read_text()
    assert not re.search(r"@import|url\(|https?://", re.sub(r"base64,[\w+/=]+", "", text))


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes(real, written, tmp_path):
    again = report(real, tmp_path / "again")
    assert digest(again.directory) == digest(written.directory)


@pytest.mark.slow
def test_a_report_stands_in_the_study_and_is_replaced(tmp_path):
    write_study(tmp_path, grid(["snip"], [0.0, 0.5], 2))
    first = report(tmp_path)
    assert first.directory == tmp_path / "report"
    before = digest(first.directory)
    write_study(tmp_path, grid(["snip"], [0.9], 2))
    assert digest(report(tmp_path).directory) != before
    with pytest.raises(OutputDirectoryError, match="cells"):
        report(tmp_path, tmp_path)


@pytest.mark.parametrize(
    "cells",
    [
        grid(["dense"], [0.0], 1),
        grid(["snip"], [0.5], 1),
        grid(["snip"], [{"actor": 0.5}], 3),
        grid(["dense"], [0.0], 1, evaluate=0),
    ],
    ids=["dense alone", "no dense", "one network", "no evaluation"],
)
def test_small_studies_report_what_there_is(tmp_path, cells):
    for cell in cells:
        found = record(cell, 0.5)
        if not cell.evaluate:
            found["result"] |= {"final_window_mean_return": None, "curve": []}
            found["result"]["final_window_normalized_score"] = None
        write_record(tmp_path, found)
    written = report(tmp_path)
    assert {p.stem for p in written.figures} < EVERYTHING
    assert "<h2>Tables</h2>" in written.page.read_text()


def test_a_study_in_which_everything_failed_says_so(tmp_path):
    write_study(tmp_path, grid(["snip"], [0.0, 0.5], 2), error="RuntimeError: boom")
    page = report(tmp_path).page.read_text()
    assert "0 finished, 4 failed" in page
    assert page.count("RuntimeError: boom") == 4


@pytest.mark.slow
def test_a_hostile_record_is_text_everywhere(tmp_path, capsys, monkeypatch):
    study = tmp_path / "<img src=x onerror=alert(2)>"
    fields = {"dataset": HOSTILE, "algo": HOSTILE, "algo_params": {HOSTILE: HOSTILE}}
    cells = grid([HOSTILE, f"shuffled({HOSTILE})"], [0.0, 0.5, {HOSTILE: 0.5}], 2, **fields)
    for cell in cells:
        found = record(cell, 0.5)
        found["versions"] = {HOSTILE: HOSTILE}
        networks = found["result"]["networks"]
        found["result"]["networks"] = {HOSTILE: {"layer_densities": {HOSTILE: 0.5}}}
        assert networks
        write_record(study, found)
    write_record(study, record(Cell(**fields, seed=9), 0.0, error=HOSTILE))
    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setattr(sys, "argv", ["offline-prune", "report", str(study)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    analysis = analyse(study)
    for table in (task_table(analysis, analysis.tasks[0]), failed_table(analysis)):
        assert all(cell in printed for row in table.rows for cell in row)
    text = (study / "report" / "index.html").read_text()
    page = Tags()
    page.feed(text)
    assert "script" not in page.tags
    assert page.tags.count("img") == len({p.stem for p in (study / "report").glob("*.svg")})
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\x1b" not in text
    for drawn in (study / "report").glob("*.svg"):
        assert "<script" not in drawn.read_text()


def test_a_narrow_terminal_breaks_no_number(tmp_path):
    analysis = analyse(write_study(tmp_path, grid(seeds=3)))
    table = task_table(analysis, analysis.tasks[0])
    for width in (80, 260):
        console = Console(width=width, file=io.StringIO())
        console.print(rendered(table, width))
        printed = console.file.getvalue()
        for row in table.rows:
            assert all(cell in printed for cell in row)
    assert printed.count("method") == 1


def test_one_run_says_that_it_has_no_interval(tmp_path):
    analysis = analyse(write_study(tmp_path, grid(seeds=1)))
    table = task_table(analysis, analysis.tasks[0])
    assert all("one run: no interval" in row[6] for row in table.rows)


def test_a_method_looks_the_same_in_all_figures(tmp_path):
    analysis = analyse(write_study(tmp_path, grid(["snip", "grasp", "random"], seeds=2)))
    colours = {}
    with styled():
        for name in ("score_by_sparsity", "learning_curves", "profiles", "time_and_size"):
            (legend,) = FIGURES[name](analysis).figure.legends
            for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
                (colour,) = {to_hex(c) for c in to_rgba_array(handle.get_color())}
                colours.setdefault(text.get_text(), set()).add(colour)
    assert {*colours} == {"dense", "snip", "grasp", "random"}
    assert all(len(own) == 1 for own in colours.values())
    assert len(set.union(*colours.values())) == 4


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    write_study(tmp_path, grid(seeds=1))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OfflinePruneError, match=r"offline-prune\[plot\]"):
        report(tmp_path)
    assert not (tmp_path / "report").exists()


def test_matplotlib_is_as_it_was(tmp_path):
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 7.25, "svg.hashsalt": "mine"}):
        before = dict(mpl.rcParams)
        report(write_study(tmp_path, grid(["dense"], [0.0], seeds=1)))
        assert dict(mpl.rcParams) == before


def test_a_folder_that_is_no_study_ends_in_a_named_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["offline-prune", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "OutputDirectoryError" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
