import pytest

pytest.importorskip("nbconvert")  # the group `docs`

import nbformat.v4 as v4

from website.notebooks import notebook_page


@pytest.mark.filterwarnings("default")  # Jupyter's own deprecations
def test_pictures_lie_beside_the_page_and_links_lead_to_the_site(tmp_path):
    drawn = v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})
    cells = [
        v4.new_markdown_cell("# A\n\n[b](../benchmarks/b.md)"),
        v4.new_code_cell("draw()", outputs=[drawn, v4.new_output("stream", text="said\n")]),
    ]
    path = tmp_path / "a.ipynb"
    path.write_text(v4.writes(v4.new_notebook(cells=cells)))
    text, pictures = notebook_page(path)
    assert list(pictures) == ["a_1_0.png"]
    assert "(./a_1_0.png)" in text
    assert "~~~~~ {.text .output}\nsaid\n~~~~~" in text
    assert "[b](../repository/benchmarks/b.md)" in text
