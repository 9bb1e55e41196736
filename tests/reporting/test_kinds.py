import pytest

from offline_prune.reporting.kinds import KINDS, kind_of, shuffled


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("dense", "dense"),
        ("snip", "saliency"),
        ("force(rounds=20)", "saliency"),
        ("rescaled(snip)", "saliency"),
        ("rescaled(shuffled(snip))", "control"),
        ("corrupted(snip, actions)", "control"),
        ("random", "control"),
        ("small_dense", "control"),
        ("gmp(begin=0.0)", "while training"),
        ("rigl", "while training"),
        ("pops", "while training"),
        ("runs/mask.safetensors", "saliency"),
        ("<b>not a method</b>", "saliency"),
    ],
)
def test_methods_have_kinds(method, kind):
    assert kind in KINDS
    assert kind_of(method) == kind


def test_the_shuffled_mask_has_two_names_for_snip():
    assert shuffled("snip") == ("shuffled(snip)", "shuffled")
    assert shuffled("grasp") == ("shuffled(grasp)",)
