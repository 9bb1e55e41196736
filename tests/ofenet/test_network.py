import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from offline_prune.errors import AlgorithmError, InputError
from offline_prune.ofenet import DenseNet, OFENet, dense_net_parameters, ofenet_parameters


def counted(module):
    return sum(p.numel() for p in module.parameters())


def by_layers(n, a, n_layers, units):
    """The parameters counted layer by layer."""
    total, width = 0, n
    for first in (0, a):
        width += first
        for _ in range(n_layers):
            total += width * units + units  # weights and biases
            total += units + units  # scales and shifts of batch normalisation
            width += units
    return total + width * n + n


@pytest.mark.parametrize(
    ("n", "a", "n_layers", "units", "expected"),
    [
        (11, 3, 6, 40, 27_360 + 85_680 + 5_445),  # Hopper
        (17, 6, 8, 30, 30_000 + 89_040 + 8_568),  # HalfCheetah
        (1, 1, 1, 1, 4 + 6 + 5),
    ],
)
def test_parameters_are_as_many_as_the_formula_says(n, a, n_layers, units, expected):
    assert by_layers(n, a, n_layers, units) == expected
    assert ofenet_parameters(n, a, n_layers, units) == expected
    assert counted(OFENet(n, a, n_layers=n_layers, units=units)) == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))
def test_the_formula_holds_for_all_sizes(n, a, n_layers, units):
    module = OFENet(n, a, n_layers=n_layers, units=units)
    assert counted(module) == ofenet_parameters(n, a, n_layers, units)
    assert counted(module.state_branch) == dense_net_parameters(n, n_layers, units)
    assert ofenet_parameters(n, a, n_layers, units) == by_layers(n, a, n_layers, units)


def test_the_default_is_six_layers_of_forty():
    assert ofenet_parameters(11, 3) == counted(OFENet(11, 3)) == 118_485


@pytest.mark.parametrize(("n", "a", "n_layers", "units"), [(11, 3, 6, 40), (17, 6, 8, 30)])
def test_shapes(n, a, n_layers, units):
    module = OFENet(n, a, n_layers=n_layers, units=units)
    s, action = torch.randn(4, n), torch.randn(4, a)
    z_s = module.phi(s)
    z_sa = module.psi(z_s, action)
    assert z_s.shape == (4, n + 240)
    assert z_sa.shape == (4, n + 240 + a + 240)
    assert module.predict(s, action).shape == (4, n)
    assert torch.equal(z_s[:, :n], s)
    assert torch.equal(z_sa[:, : n + 240], z_s)
    assert torch.equal(z_sa[:, n + 240 : n + 240 + a], action)


def swish(h):
    return h / (1 + math.exp(-h))


def set_layer(block, weights, bias, mean=0.0, var=1.0, scale=1.0, shift=0.0):
    with torch.no_grad():
        block.linear.weight.copy_(torch.tensor([weights]))
        block.linear.bias.fill_(bias)
        block.norm.running_mean.fill_(mean)
        block.norm.running_var.fill_(var)
        block.norm.weight.fill_(scale)
        block.norm.bias.fill_(shift)
    block.norm.eps = 0.0


def test_features_computed_by_hand():
    module = OFENet(1, 1, n_layers=2, units=1).double().eval()
    phi, psi = module.state_branch.blocks, module.state_action_branch.blocks
    set_layer(phi[0], [0.5], 0.25, mean=0.25, var=4.0, scale=3.0, shift=-1.0)
    set_layer(phi[1], [1.0, -1.0], 0.5)
    set_layer(psi[0], [0.1, 0.2, 0.3, 0.4], 0.0)
    set_layer(psi[1], [0.0, 1.0, 0.0, 2.0, -1.0], -0.5)
    with torch.no_grad():
        module.prediction.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]))
        module.prediction.bias.fill_(0.125)
    s, a = 2.0, -3.0
    u = swish((0.5 * s + 0.25 - 0.25) / 2.0 * 3.0 - 1.0)
    v = swish(s - u + 0.5)
    p = swish(0.1 * s + 0.2 * u + 0.3 * v + 0.4 * a)
    q = swish(u + 2 * a - p - 0.5)
    predicted = s + 2 * u + 3 * v + 4 * a + 5 * p + 6 * q + 0.125
    states, actions = torch.tensor([[s]]).double(), torch.tensor([[a]]).double()
    assert module.phi(states).flatten().tolist() == pytest.approx([s, u, v])
    assert module(states, actions).flatten().tolist() == pytest.approx([s, u, v, a, p, q])
    assert module.predict(states, actions).item() == pytest.approx(predicted)


def test_discrete_actions_are_read_one_hot():
    discrete = OFENet(2, 3, n_layers=1, units=2, discrete_action=True).eval()
    continuous = OFENet(2, 3, n_layers=1, units=2).eval()
    continuous.load_state_dict(discrete.state_dict())
    s, numbers = torch.randn(3, 2), torch.tensor([[2.0], [0.0], [1.0]])
    one_hot = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert torch.equal(discrete(s, numbers), continuous(s, one_hot))
    assert torch.equal(discrete(s, numbers.flatten()), continuous(s, one_hot))


def test_a_hook_on_a_gate_scales_the_unit_for_everything_that_reads_it():
    module = OFENet(2, 1, n_layers=3, units=2).eval()
    s, a = torch.randn(5, 2), torch.randn(5, 1)
    before = module.phi(s)
    gate = module.state_branch.blocks[1].gate
    assert type(gate) is nn.Identity
    handle = gate.register_forward_hook(lambda _, __, units: units * torch.tensor([1.0, 0.0]))
    after = module.phi(s)
    assert torch.equal(after[:, :5], before[:, :5])  # s, the layer before, the unit kept
    assert not after[:, 5].any()
    expected = module.state_branch.blocks[2](after[:, :6])
    assert torch.equal(after, expected)
    assert not torch.equal(after[:, 6:], before[:, 6:])
    gated = module(s, a)
    handle.remove()
    module.state_branch.blocks[1].gate = Scale(torch.tensor([1.0, 0.0]))
    assert torch.equal(module(s, a), gated)


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, units):
        return units * self.factor


def test_every_layer_has_a_gate():
    for branch in (DenseNet(3, 4, 5), OFENet(3, 2).state_action_branch):
        names = [n for n, _ in branch.named_modules() if n.endswith("gate")]
        assert len(names) == len(branch.blocks)


def test_a_state_branch_alone_predicts_nothing():
    module = OFENet(2)
    assert module(torch.randn(2, 2)).shape == (2, 242)
    with pytest.raises(AlgorithmError, match="share_ofenet"):
        module.predict(torch.randn(2, 2), torch.randn(2, 1))


@pytest.mark.parametrize(
    "sizes", [{"units": 0}, {"n_layers": 1.5}, {"action_size": 0}, {"observation_size": True}]
)
def test_sizes_are_whole_positive_numbers(sizes):
    with pytest.raises(InputError, match=next(iter(sizes))):
        OFENet(**{"observation_size": 2, "action_size": 1, **sizes})
