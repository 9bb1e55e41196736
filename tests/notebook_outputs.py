"""``python -m tests.notebook_outputs [name …]``: run notebooks whole, and keep what they put out.

What is kept is small and says nothing of the machine: pictures in few colours, no counts of
executions, no folders and no seconds of this run. ``tests/test_notebooks.py`` compares it with
fresh runs.
"""

import base64
import io
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

__all__ = ["NOTEBOOKS", "code", "kinds", "masked_text", "run", "tidy"]

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
_FOLDER = re.compile(re.escape(tempfile.gettempdir()) + r"/[\w.-]+")
_NUMBERS = re.compile(r"(-?(\d+([.,]\d+)*([eE][+-]?\d+)?|\binf\b|\bnan\b)f?[,\s]*)+")
_SECONDS = re.compile(r"\d[\d,.]* a second; scoring [\d.]+ s\b")  # this machine's, busy or not
_SPACE = re.compile(r"[\s\u2500-\u257f]+")  # the lines of tables too
_COLOURS = 48


def run(notebook):
    """Execute a notebook in place."""
    NotebookClient(notebook, timeout=3600, coalesce_streams=True).execute()


def tidy(notebook):
    """Leave of outputs what a reader sees."""
    notebook.metadata.language_info = {"name": "python"}  # not which one
    for cell in code(notebook):
        cell.execution_count = None
        cell.metadata = {}
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = None
            if "text" in output:
                output.text = _said(output.text)
            if "data" in output:
                output.metadata = {}
                output.data = {kind: _small(kind, data) for kind, data in output.data.items()}


def kinds(cell):
    """What a cell puts out, without the contents: ``[["stdout"], ["image/png", "text/plain"]]``."""
    return [[o.name] if "name" in o else sorted(o.get("data", {})) for o in cell.outputs]


def masked_text(cell):
    """What a cell prints, ``#`` for numbers in a row, one space for any number of them."""
    said = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    return [
        re.sub(r"[\s\u2500-\u257f]+", " ", _NUMBERS.sub("# ", _FOLDER.sub("…", s))) for s in said
    ]


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _said(text):
    return _SECONDS.sub("… a second; scoring … s", _FOLDER.sub("…", text))


def _small(kind, data):
    if kind != "image/png":
        return _said(data)
    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    written = io.BytesIO()
    picture.quantize(_COLOURS).save(written, "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


def main(names):
    for path in NOTEBOOKS:
        if not names or path.stem in names:
            notebook = nbformat.read(path, as_version=4)
            run(notebook)
            tidy(notebook)
            nbformat.write(notebook, path)
            print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main(sys.argv[1:])
