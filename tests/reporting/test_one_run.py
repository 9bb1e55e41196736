"""The page of one run."""

import re

import pytest

from offline_prune import prune_then_train, report, report_run
from offline_prune.errors import OutputDirectoryError
from offline_prune.run.folder import RESULT
from tests.worlds import dataset


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = prune_then_train(
        dataset("vector-discrete"), "cql", "auto", n_steps=20, n_steps_per_epoch=10,
        algo_params={"hidden_units": [8]},
        ope_steps=5, ope_fits=2, held_out=0.5, search_seeds=2, max_sparsity=0.8,
        output_dir=folder, progress=False,
    )  # fmt: skip
    return folder, result


@pytest.fixture(scope="module")
def written(chosen, tmp_path_factory):
    return report_run(chosen[0], tmp_path_factory.mktemp("reports") / "report")


def test_the_page_says_why_this_sparsity(chosen, written):
    text = written.page.read_text()
    assert "another seed" in text
    assert "no evidence" in text
    first = chosen[1].search.candidates[0]
    assert f"{first.disagreement:.3g}" in text
    assert {path.stem for path in written.figures} == {
        "search", "fitted_values", "densities", "training",
    }  # fmt: skip


def test_it_needs_nothing_else_and_is_the_same_again(chosen, written, tmp_path):
    text = written.page.read_text()
    assert not re.search(r'src="(?!data:)|https?://(?!www\.w3\.org)', text)
    again = report_run(chosen[0], tmp_path / "again")
    for path in written.directory.iterdir():
        assert path.read_bytes() == (again.directory / path.name).read_bytes()


def test_a_plain_run_has_a_page_without_a_choice(tmp_path):
    prune_then_train(
        dataset("vector-continuous"), "bc", 0.5, n_steps=2, evaluate=0, progress=False,
        algo_params={"hidden_units": [8]}, output_dir=tmp_path / "<b>run",
    )  # fmt: skip
    text = report_run(tmp_path / "<b>run").page.read_text()
    assert "Why this sparsity" not in text
    assert "&lt;b&gt;run" in text
    assert "<b>run" not in text


def test_the_command_shows_a_run_where_it_finds_one(chosen, run, tmp_path):
    run("report", chosen[0], "--out", tmp_path / "page")
    assert (tmp_path / "page" / "index.html").is_file()


def test_a_folder_of_something_else_is_refused(chosen, tmp_path):
    with pytest.raises(OutputDirectoryError, match=RESULT):
        report_run(tmp_path)
    with pytest.raises(OutputDirectoryError, match="report_run"):
        report(chosen[0])
