import pytest
import torch
from d3rlpy.models.torch.encoders import VectorEncoder
from d3rlpy.models.utility import create_activation
from torch import nn
from torch.nn import functional

from offline_prune.diagnostics.networks.hidden_units import record_activity, unit_activity
from offline_prune.errors import InputError


def test_activity_of_a_channel_is_its_mean_over_positions():
    h = torch.tensor([[[[1.0, -3.0], [0.0, 0.0]], [[2.0, 2.0], [2.0, -2.0]]]])
    assert h.shape == (1, 2, 2, 2)
    assert unit_activity(h).tolist() == [[1.0, 2.0]]
    assert unit_activity(torch.tensor([[-1.0, 2.0]])).tolist() == [[1.0, 2.0]]
    with pytest.raises(InputError, match=r"\(3,\)"):
        unit_activity(torch.ones(3))


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "swish", "geglu"])
def test_what_d3rlpys_activations_return_is_recorded(activation):
    # One module stands behind both layers, as in d3rlpy's encoders.
    factor = 2 if activation == "geglu" else 1  # it halves its input
    module = create_activation(activation)
    first, second = nn.Linear(3, 4 * factor), nn.Linear(4, 5 * factor)
    x = torch.randn(7, 3)
    with record_activity(nn.Sequential(first, module, second, module)) as activity:
        h = module(first(x))
        y = module(second(h))
    assert [tuple(a.shape) for a in activity] == [(7, 4), (7, 5)]
    for recorded, expected in zip(activity, (h, y), strict=True):
        torch.testing.assert_close(recorded, expected.abs())
    module(x.repeat(1, 2))
    assert len(activity) == 2  # nothing is recorded afterwards
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_functions_are_recorded_like_modules():
    convolution = nn.Conv2d(1, 2, 3)
    x = torch.randn(4, 1, 5, 5)
    with record_activity(convolution) as activity:
        h = functional.relu(convolution(x))
        convolution(x).relu_()
        torch.tanh(h.flatten(1))
    assert [tuple(a.shape) for a in activity] == [(4, 2), (4, 2), (4, 18)]
    torch.testing.assert_close(activity[0], h.mean(dim=(2, 3)))
    torch.testing.assert_close(activity[1], activity[0])


def test_a_linear_network_has_no_hidden_units():
    encoder = VectorEncoder((3,), [4], activation=create_activation("none"))
    with record_activity(encoder) as activity:
        encoder(torch.randn(2, 3))
    assert activity == []


def test_hooks_go_when_the_evaluation_fails():
    module = create_activation("swish")
    with pytest.raises(RuntimeError), record_activity(module):
        raise RuntimeError
    assert not module._forward_hooks
