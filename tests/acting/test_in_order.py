import pytest
import torch
from torch import nn
from torch.nn import functional

from offline_prune.acting.in_order import layers_in_order
from offline_prune.acting.stacks import compact_layers


class Own(nn.Module):
    """Some layers, and a forward that a test gives."""

    def __init__(self, forward):
        super().__init__()
        self.second, self.first = nn.Linear(4, 2), nn.Linear(6, 4)
        self.both, self.then = nn.Bilinear(6, 6, 6), forward

    def forward(self, x):
        return self.then(self, x)


IN_ORDER = [
    lambda own, x: own.second(functional.relu(own.first(x.flatten(1)))),
    lambda own, x: own.second(own.first(torch.flatten(x, start_dim=1)).tanh()),
    lambda own, x: torch.sigmoid(own.second(functional.silu(own.first(x), inplace=True))),
]
NOT = [
    lambda own, x: own.second(own.first(x)) + 1,
    lambda own, x: own.second(own.first(x)) if x.sum() > 0 else x,
    lambda own, x: own.second(functional.elu(own.first(x), 0.5)),
    lambda own, x: own.second(own.first(own.second(own.first(x)).repeat(1, 3))),
    lambda own, x: (own.first(x), own.second(own.first(x)))[0],
    lambda own, x: own.first(x).flatten(),
    lambda own, x: own.first(own.both(x, x)),
    lambda own, x: own.second(own.first.weight),
]


@pytest.mark.parametrize("forward", IN_ORDER)
def test_layers_are_read_from_forward(forward):
    own, x = Own(forward), torch.randn(3, 6)
    layers = layers_in_order(own)
    assert own.first in layers
    torch.testing.assert_close(nn.Sequential(*layers)(x), own(x))


@pytest.mark.parametrize("forward", NOT)
def test_other_wiring_is_none(forward):
    assert layers_in_order(Own(forward)) is None


def test_a_layer_that_is_used_twice_is_none():
    layer = nn.Linear(3, 3)
    assert layers_in_order(nn.Sequential(layer, nn.ReLU(), layer)) is None


def test_stacks_within_stacks():
    inner = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    outer = nn.Sequential(inner, nn.Linear(3, 1))
    assert layers_in_order(outer) == [*inner, outer[1]]


FLAT = [
    [nn.Flatten(), nn.Linear(48, 5), nn.Tanh(), nn.Flatten(), nn.Linear(5, 2)],
    [nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Identity(), nn.Flatten(), nn.Linear(36, 2)],
    [nn.Conv2d(3, 4, 2), nn.Flatten(), nn.ReLU(), nn.Linear(36, 2)],
]


@pytest.mark.parametrize("layers", FLAT)
def test_compact_layers_flatten_where_the_layers_did(layers):
    x = torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(compact_layers(layers)(x), nn.Sequential(*layers)(x))


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [nn.Linear(3, 2), nn.ReLU()],
        [nn.Conv2d(3, 4, 2), nn.Linear(3, 2)],
        [nn.Flatten(2), nn.Linear(16, 2)],
        [nn.Linear(3, 3), nn.Softmax(), nn.Linear(3, 2)],
    ],
)
def test_what_is_no_stack_has_no_compact_form(layers):
    assert compact_layers(layers) is None
