"""Units that an output depends on, by hand."""

import torch

from offline_prune.agents.units import Segment, UnitGraph, UnitLayer, WeightOfUnits
from offline_prune.masks.reading import read_part, read_units


def weight(name, shape, rows, *segments):
    return WeightOfUnits(name, shape, rows, tuple(Segment(*segment) for segment in segments))


# Three tied channels, written by "in" and "back"; two units of a block; an output that reads
# two columns a channel, and an input besides.
RESIDUAL = UnitGraph(
    (UnitLayer("in", 3), UnitLayer("block", 2)),
    (
        weight("in", (3, 4, 3, 3), 0, (None, 4)),
        weight("block", (2, 3, 3, 3), 1, (0, 3)),
        weight("back", (3, 2, 3, 3), 0, (1, 2)),
        weight("out", (1, 7), None, (0, 6), (None, 1)),
    ),
)


def zeros():
    return {w.name: torch.zeros(w.shape) for w in RESIDUAL.weights}


def test_paths_backwards_by_hand():
    values = zeros()
    values["out"][0, 3] = 1.0  # the second column of channel 1
    assert [u.tolist() for u in read_units(RESIDUAL, values)] == [
        [False, True, False],
        [False, False],  # nobody reads the block
    ]
    values["back"][1, 1, 0, 2] = 1.0  # channel 1 reads unit 1,
    values["block"][1, 2, 2, 2] = 1.0  # which reads channel 2
    assert [u.tolist() for u in read_units(RESIDUAL, values)] == [
        [False, True, True],
        [False, True],
    ]


def test_units_that_only_read_one_another_go():
    values = zeros()
    values["out"][0, 0] = 1.0
    values["back"][2, 1] = values["block"][1, 2] = 1.0  # channel 2 ⇄ unit 1
    assert [u.tolist() for u in read_units(RESIDUAL, values)] == [
        [True, False, False],
        [False, False],
    ]
    values["block"][1, 0] = 1.0  # what they read is no matter either
    assert [u.tolist() for u in read_units(RESIDUAL, values)] == [
        [True, False, False],
        [False, False],
    ]


def test_without_any_path_nothing_is_read():
    values = zeros()
    values["out"][0, 6] = 1.0  # an input
    values["in"] += 1.0
    assert not any(units.any() for units in read_units(RESIDUAL, values))


def test_weights_of_units_that_are_read_are_left():
    mask = {w.name: torch.rand(w.shape) < 2.0 for w in RESIDUAL.weights}
    mask["out"][0, :4] = False  # channel 2 is read by the output, 0 and 1 by the block
    mask["block"][0] = mask["back"][:, 1] = False  # unit 0 reads nothing, 1 is not read
    part = read_part([RESIDUAL], mask)
    assert torch.equal(part["out"], mask["out"])
    assert part["in"].flatten(1).any(dim=1).tolist() == [False, False, True]
    assert part["back"].flatten(2).any(dim=2).tolist() == [[False] * 2, [False] * 2, [True, False]]
    assert not part["block"].any()
    again = read_part([RESIDUAL], part)
    assert all(torch.equal(again[name], part[name]) for name in part)
