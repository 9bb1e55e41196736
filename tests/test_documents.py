"""Documents point to files that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page for folder in (".", "docs", "benchmarks/*") for page in ROOT.glob(f"{folder}/*.md")
)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def broken(page):
    """Links of a page to files that are not there, headings left out."""
    return [to for to in LINK.findall(page.read_text()) if not (page.parent / to).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#top), [b](gone.md), [c](https://example.org/d)")
    assert broken(page) == ["gone.md"]
