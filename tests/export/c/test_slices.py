from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from offline_prune.export.c.slices import SLICE, longest_rows_first, slices, whole_slices


def rebuilt(cut, n_rows, n_columns):
    """The matrix, place by place."""
    weight = torch.zeros(whole_slices(n_rows), n_columns)
    place = 0
    for number, length in enumerate(cut.lengths):
        for _ in range(length):
            for row in range(SLICE):
                column = cut.columns[place, row]
                weight[number * SLICE + row, column] += cut.values[place, row]
            place += 1
    assert place == len(cut.values) == len(cut.columns)
    assert not weight[n_rows:].any()
    return weight[:n_rows]


@given(st.integers(1, 20), st.integers(1, 12), st.integers(0, 2**16), st.floats(0, 1))
def test_slices_hold_every_kept_weight_once(n_rows, n_columns, seed, density):
    rng = np.random.default_rng(seed)
    weight = torch.tensor(rng.normal(size=(n_rows, n_columns)), dtype=torch.float32)
    weight *= torch.tensor(rng.random((n_rows, n_columns)) < density)
    cut = slices(weight)
    assert torch.equal(rebuilt(cut, n_rows, n_columns), weight)
    assert int(cut.values.count_nonzero()) == int(weight.count_nonzero())
    longest = [
        int(rows.count_nonzero(dim=1).max()) for rows in weight.split(SLICE)
    ]  # no place is there for nothing
    assert cut.lengths.tolist() == longest


def test_a_slice_by_hand():
    weight = torch.zeros(SLICE + 1, 4)
    weight[0, 1], weight[0, 3], weight[2, 3], weight[SLICE, 0] = 1.0, 2.0, 3.0, 4.0
    cut = slices(weight)
    assert cut.lengths.tolist() == [2, 1]
    assert cut.values[:, :3].tolist() == [[1, 0, 3], [2, 0, 0], [4, 0, 0]]
    assert cut.columns[:, :3].tolist() == [[1, 0, 3], [3, 0, 0], [0, 0, 0]]


def stack(*widths):
    torch.manual_seed(0)
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    with torch.no_grad():
        for layer in layers:
            layer.weight *= torch.rand(layer.weight.shape) < torch.rand(len(layer.weight), 1)
    return layers


def test_units_move_and_the_network_computes_the_same():
    first, second, last = stack(5, 30, 20, 2)
    layers = [first, nn.ReLU(), nn.Tanh(), second, nn.ELU(), last]
    before = [p.clone() for layer in layers for p in layer.parameters()]
    ordered = longest_rows_first(layers, lambda m: not isinstance(m, nn.Linear))
    x = torch.randn(9, 5)
    torch.testing.assert_close(nn.Sequential(*ordered)(x), nn.Sequential(*layers)(x))
    for place in (0, 3):
        lengths = ordered[place].weight.count_nonzero(dim=1)
        assert torch.equal(lengths, lengths.sort(descending=True).values)
        assert not torch.equal(lengths, layers[place].weight.count_nonzero(dim=1))
    assert torch.equal(ordered[-1].bias, last.bias)  # outputs stay where they are
    after = [p for layer in layers for p in layer.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_units_that_something_else_numbers_stay():
    first, last = stack(4, 6, 2)
    layers = [first, nn.Flatten(), last]
    assert longest_rows_first(layers, lambda m: isinstance(m, nn.ReLU)) == layers
