"""Every notebook runs from a clean kernel, and is committed without outputs.

The suite takes a tenth of every number of steps, rounds and episodes; ``make notebooks``
takes them all.
"""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
WHOLE = os.environ.get("NOTEBOOKS") == "whole"
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
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)
    if not WHOLE:
        for cell in code:
            cell.source = a_tenth(cell.source)
    NotebookClient(notebook, timeout=300).execute()
    printed = [
        output
        for cell in code
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert printed == []
