import pytest
import torch

from offline_prune.masks.mask import Mask
from offline_prune.methods import METHODS, MODIFIERS
from website.mask_picture import mask_picture
from website.method_runs import METHOD_RUNS, made_by

TABLES = """
| method | score | cost |
|---|---|---|
| `snip` | \\|w · g\\| | 1 |

| expression | asks | reference |
|---|---|---|
| `shuffled(m)` | is it more? | |
"""


def test_every_method_has_a_run():
    assert set(METHOD_RUNS) == {*METHODS, *MODIFIERS}


def test_what_is_shown_is_what_is_drawn():
    mask = made_by(METHOD_RUNS["snip"])
    assert mask.n_kept == 115
    assert "115 of 1,152 weights kept" in mask_picture(mask, "SNIP.")


def test_nothing_is_called_pale_where_all_weights_are_on_a_path():
    kept = torch.tensor([[True, True]])
    drawn = mask_picture(Mask({"fc": kept}, {"fc": kept}, {"actor": ("fc",)}), "")
    assert "pale." not in drawn
    assert 'viewBox="0 0 84 ' in drawn  # room for the layer's title


def test_a_weight_that_leads_nowhere_is_pale():
    kept, connected = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    mask = Mask({"fc": kept}, {"fc": connected}, {"actor": ("fc",)})
    assert 'd="M5 0h4v4h-4z" class="pale"' in mask_picture(mask, "")
    assert 'd="M0 0h4v4h-4z"/>' in mask_picture(mask, "")


def test_rows_of_tables_are_found():
    pytest.importorskip("mkdocs")  # the group `docs`; `make docs` builds it all
    from website.methods import row_of

    assert row_of("snip", TABLES) == {"score": "\\|w · g\\|", "cost": "1"}
    assert row_of("shuffled", TABLES) == {"asks": "is it more?"}
    assert row_of("pops", TABLES) == {}
