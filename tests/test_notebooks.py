"""Every notebook runs from a clean kernel, and puts out what is committed.

The suite takes a tenth of every number of steps, rounds and episodes, and compares what kinds of
output every cell has; ``make notebooks`` takes them all, and compares what is printed, numbers
aside. Pictures are not compared. ``python -m tests.notebook_outputs`` makes the outputs anew.
"""

import copy
import os
import re

import nbformat
import nbformat.v4 as v4
import pytest

from tests.notebook_outputs import NOTEBOOKS, code, kinds, masked_text, run, tidy

WHOLE = os.environ.get("NOTEBOOKS") == "whole"
LARGEST = 400_000  # bytes of a notebook
NUMBERS = re.compile(
    r"\b(STEPS|(?:n|feature|ope)_steps(?:_per_epoch)?|gate_interval|(?:gate_)?episodes|evaluate|rounds)"
    r"( ?= ?)(\d+)"
)


def a_tenth(source):
    return NUMBERS.sub(lambda m: f"{m[1]}{m[2]}{max(1, int(m[3]) // 10)}", source)


def test_a_tenth_of_steps_and_rounds():
    assert a_tenth("STEPS = 2000; n_steps_per_epoch=100") == "STEPS = 200; n_steps_per_epoch=10"
    assert a_tenth('"force(rounds=5)", n_batches=8') == '"force(rounds=1)", n_batches=8'


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own deprecations
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    committed = nbformat.read(path, as_version=4)
    fresh = copy.deepcopy(committed)
    for cell in code(fresh):
        cell.outputs = []
        if not WHOLE:
            cell.source = a_tenth(cell.source)
    run(fresh)
    tidy(fresh)
    for before, after in zip(code(committed), code(fresh), strict=True):
        assert ["stderr"] not in kinds(after)
        assert kinds(after) == kinds(before), before.source
        if WHOLE:
            assert masked_text(after) == masked_text(before), before.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_small_and_tidy(path):
    committed = nbformat.read(path, as_version=4)
    assert path.stat().st_size <= LARGEST
    assert any(cell.outputs for cell in code(committed))
    assert not any(cell.execution_count or cell.metadata for cell in code(committed))
    printed = "".join(text for cell in code(committed) for text in masked_text(cell))
    assert not re.search(r"/(tmp|home|root|work)/", printed)


def test_folders_counts_and_seconds_are_taken_out(tmp_path):
    text = f"wrote {tmp_path}/policy.c, 161 a second; scoring 6.36 s"
    said = v4.new_output("stream", name="stdout", text=text)
    notebook = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=[said], execution_count=3)])
    tidy(notebook)
    assert notebook.cells[0].execution_count is None
    printed = notebook.cells[0].outputs[0].text
    assert (
        printed == "wrote …/" + "/".join(tmp_path.parts[3:]) + "/policy.c, … a second; scoring … s"
    )


def test_numbers_are_no_difference_and_words_are():
    def cell(text):
        return v4.new_code_cell("x", outputs=[v4.new_output("stream", text=text)])

    assert masked_text(cell("return  -12.5 ± 3")) == masked_text(cell("return -7 ± 1,000"))
    assert masked_text(cell("return -12")) != masked_text(cell("score -12"))
