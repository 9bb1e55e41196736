import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from offline_prune.errors import MaskError, UnknownNameError
from offline_prune.masks import Mask


def make_mask(seed=0, density=0.5):
    generator = torch.Generator().manual_seed(seed)
    names = {
        "actor": ("a.weight",),
        "critic[0]": ("c.weight",),
        "critic[1]": ("d.weight",),
    }
    nominal = {
        name: torch.rand(4, 5, generator=generator) < density
        for members in names.values()
        for name in members
    }
    connected = {name: mask.clone() for name, mask in nominal.items()}
    connected["a.weight"][0] = False
    return Mask(nominal, connected, names)


def test_counts_and_sparsities():
    mask = make_mask()
    kept = sum(int(m.sum()) for m in mask.nominal.values())
    assert (mask.n_weights, mask.n_kept) == (60, kept)
    assert mask.sparsity == pytest.approx(1 - kept / 60)
    assert mask.effective_sparsity >= mask.sparsity
    assert mask["actor"].n_weights == 20
    assert mask["critic"].n_weights == 40
    assert list(mask) == ["actor", "critic[0]", "critic[1]"]


def test_units_left_are_those_with_a_connected_weight():
    kernel = torch.zeros(3, 2, 2, 2, dtype=torch.bool)
    kernel[1, 0, 1, 1] = True
    nominal = {"a": kernel, "b": torch.ones(2, 3, dtype=torch.bool)}
    connected = {"a": kernel, "b": torch.tensor([[False, True, False], [False] * 3])}
    mask = Mask(nominal, connected, {"actor": ("a", "b")})
    assert mask.layer_units == {"a": (1, 3), "b": (1, 2)}


def test_unknown_network():
    with pytest.raises(UnknownNameError, match=r"critic\[0\]"):
        make_mask()["value"]


def test_a_mask_cannot_be_changed_from_outside():
    nominal = {"w": torch.ones(2, 2, dtype=torch.bool)}
    mask = Mask(nominal, nominal, {"actor": ("w",)})
    nominal["w"][0] = False
    assert mask.sparsity == 0
    with pytest.raises(TypeError):
        mask.nominal["w"] = nominal["w"]


def test_connected_must_be_part_of_nominal():
    with pytest.raises(MaskError, match="connected"):
        Mask(
            {"w": torch.zeros(2, 2, dtype=torch.bool)},
            {"w": torch.ones(2, 2, dtype=torch.bool)},
            {"actor": ("w",)},
        )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 0.95))
def test_save_and_load(tmp_path_factory, seed, density):
    mask = make_mask(seed, density)
    path = tmp_path_factory.mktemp("mask") / "mask.safetensors"
    mask.save(path)
    assert Mask.load(path) == mask
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_save_keeps_the_file_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "mask.safetensors"
    make_mask(0).save(path)
    before = path.read_bytes()

    def full_disk(*args):
        raise OSError("no space left")

    monkeypatch.setattr("offline_prune.masks.mask.save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        make_mask(1).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"not a mask", None])
def test_what_is_no_mask_is_refused(tmp_path, content):
    path = tmp_path / "mask.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MaskError, match="not a mask"):
        Mask.load(path)


def test_foreign_safetensors_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(MaskError, match="not a mask"):
        Mask.load(path)


def test_jaccard():
    mask = make_mask(0)
    assert mask.jaccard(mask) == 1.0
    other = make_mask(1)
    a = torch.cat([m.flatten() for m in mask.nominal.values()])
    b = torch.cat([m.flatten() for m in other.nominal.values()])
    expected = int((a & b).sum()) / int((a | b).sum())
    assert mask.jaccard(other) == pytest.approx(expected)
    with pytest.raises(MaskError):
        mask.jaccard(mask["actor"])
