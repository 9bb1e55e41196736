"""The Python of the guides runs, block after block, with a tenth of its steps."""

import re
from pathlib import Path

import pytest

from tests.test_notebooks import a_tenth

GUIDES = Path(__file__).parent.parent / "docs"
RUNNABLE = ("five-minutes", "your-own-data", "your-own-algorithm", "while-training", "many-runs",
            "on-the-robot")  # fmt: skip
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # d3rlpy's and gymnasium's own, while they train
@pytest.mark.parametrize("page", RUNNABLE)
def test_guide_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((GUIDES / f"{page}.md").read_text())
    assert blocks
    namespace = {}
    for block in blocks:
        exec(compile(a_tenth(block.replace("_000", "000")), f"{page}.md", "exec"), namespace)
