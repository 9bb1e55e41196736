import pytest

pytest.importorskip("mkdocs")  # the group `docs`; `make docs` builds it all

from website.reference import reference_pages
from website.rooms import ROOMS


def test_every_name_has_an_entry_once():
    pages = reference_pages(ROOMS)
    assert "::: offline_prune.prune_then_train" in pages["reference/offline_prune.md"]
    data = pages["reference/data.md"]
    assert "::: offline_prune.data.import_file" in data
    assert "::: offline_prune.data.load_dataset" not in data
    assert "[`load_dataset`][offline_prune.load_dataset]" in data
