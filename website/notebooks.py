"""Hook: every notebook is a page, with the outputs that are committed with it."""

from __future__ import annotations

from pathlib import Path

import nbformat
from jinja2 import DictLoader
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

from website.links import relinked

__all__ = ["notebook_page", "on_files"]

ROOT = Path(__file__).parent.parent
# What a cell prints is told apart from what it does: a block of the class `output`.
SHOWN = """{% extends 'markdown/index.md.j2' %}
{% block stream %}
{{ printed(output.text) }}
{% endblock stream %}
{% block data_text scoped %}
{{ printed(output.data['text/plain']) }}
{% endblock data_text %}
{% macro printed(text) %}
~~~~~ {.text .output}
{{ text.rstrip() }}
~~~~~
{% endmacro %}
"""
TO_RUN = """!!! note
    To run it yourself: `{file}` in the repository, after `pip install ".[notebook]"`.

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page a notebook, with the pictures that it drew."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, pictures = notebook_page(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown.

    Args:
        path: The notebook.

    Returns:
        The page, and file name → picture.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":  # pictures of outputs lie beside the page already
            cell.source = relinked(cell.source, f"notebooks/{path.name}")
    name = {"unique_key": path.stem, "output_files_dir": "."}
    exporter = MarkdownExporter(
        extra_loaders=[DictLoader({"shown.md.j2": SHOWN})], template_file="shown.md.j2"
    )
    text, resources = exporter.from_notebook_node(notebook, resources=name)
    title, _, rest = text.partition("\n")
    text = f"{title}\n\n{TO_RUN.format(file=f'notebooks/{path.name}')}{rest}"
    return text, {Path(file).name: data for file, data in resources["outputs"].items()}
