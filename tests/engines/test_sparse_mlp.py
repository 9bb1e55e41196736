from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune.engines.sparse_kernels import TILE
from offline_prune.engines.sparse_mlp import OutputColumns, SparseMLP
from offline_prune.engines.wiring import ACTIVATIONS, Linear, Norm, Wiring, relu_layers


def network(sizes, density, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    pairs = pairwise(sizes)
    masks = [torch.rand(b, a, generator=generator) < density for a, b in pairs]
    size = sum(int(mask.sum()) + len(mask) for mask in masks)
    theta = torch.randn(size, generator=generator, dtype=dtype)
    return SparseMLP(relu_layers(masks), theta), masks


def dense(masks, theta, x, action):
    """The same network as dense layers with zeros."""
    h = torch.cat([x, action], dim=1)
    weight, bias = 0, sum(int(mask.sum()) for mask in masks)
    for depth, mask in enumerate(masks):
        n = int(mask.sum())
        matrix = torch.zeros(mask.shape, dtype=theta.dtype)
        matrix = matrix.masked_scatter(mask, theta[weight : weight + n])
        h = h @ matrix.T + theta[bias : bias + len(mask)]
        weight, bias = weight + n, bias + len(mask)
        h = h.relu() if depth < len(masks) - 1 else h
    return h


def inputs(sizes, n_actions, batch, dtype=torch.float64):
    x = torch.randn(batch, sizes[0] - n_actions, dtype=dtype, requires_grad=True)
    action = torch.randn(batch, n_actions, dtype=dtype, requires_grad=True)
    return x, action


@pytest.mark.slow
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    density=st.sampled_from([0.0, 0.1, 0.4, 1.0]),
    batch=st.sampled_from([0, 1, 3, TILE, TILE + 1, 3 * TILE - 1]),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_outputs_and_gradients_are_those_of_dense_layers(sizes, density, batch, seed, data):
    n_actions = data.draw(st.integers(0, sizes[0]))
    mlp, masks = network(sizes, density, seed)
    x, action = inputs(sizes, n_actions, batch)
    outputs = [mlp(x, action), dense(masks, mlp.theta, x, action)]
    torch.testing.assert_close(*outputs)
    wanted = [mlp.theta, x, action]
    upstream = torch.randn_like(outputs[0])
    found, expected = (torch.autograd.grad(out, wanted, upstream) for out in outputs)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        assert torch.equal(mlp(x, action), outputs[0])


def test_gradcheck():
    mlp, _ = network((5, 7, 6, 3), 0.5)
    x, action = inputs((5, 7, 6, 3), 2, 4)

    def evaluate(theta, x, action):
        return torch.func.functional_call(mlp, {"theta": theta}, (x, action))

    assert torch.autograd.gradcheck(evaluate, (mlp.theta, x, action))


def test_single_precision_at_the_size_of_a_policy():
    sizes = (23, 180, 110, 6)
    mlp, masks = network(sizes, 0.15, dtype=torch.float32)
    x, action = inputs(sizes, 6, 256, torch.float32)
    outputs = [mlp(x, action), dense(masks, mlp.theta, x, action)]
    torch.testing.assert_close(*outputs, atol=1e-4, rtol=1e-5)


def test_action_may_be_left_out():
    mlp, masks = network((4, 5, 2), 0.7)
    x = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(mlp(x), dense(masks, mlp.theta, x, x[:, :0]))


def test_only_what_is_asked_for_gets_a_gradient():
    mlp, _ = network((4, 5, 2), 0.7)
    x, action = inputs((4, 5, 2), 1, 3)
    mlp(x.detach(), action).sum().backward()
    assert mlp.theta.grad.any()
    assert x.grad is None
    assert action.grad.any()


def test_frozen_parameters_get_no_gradient():
    mlp, _ = network((4, 5, 2), 0.7)
    x, action = inputs((4, 5, 2), 1, 3)
    mlp.requires_grad_(False)(x, action).sum().backward()
    assert mlp.theta.grad is None
    assert action.grad.any()


def test_a_second_derivative_is_refused():
    mlp, _ = network((4, 5, 2), 0.7)
    x, action = inputs((4, 5, 2), 1, 3)
    (grad,) = torch.autograd.grad(mlp(x, action).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_rows_need_not_lie_side_by_side():
    mlp, _ = network((4, 5, 2), 0.7)
    x = torch.randn(4, 9, dtype=torch.float64).T
    repeated = x[:1].expand(7, 4)
    torch.testing.assert_close(mlp(x), mlp(x.contiguous()))
    torch.testing.assert_close(mlp(repeated), mlp(x[:1]).expand(7, 2))
    mlp(x).T.sum(dim=0).sum().backward()  # an expanded gradient comes back
    assert mlp.theta.grad.any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_divergence_shows(bad):
    mlp, _ = network((4, 5, 2), 1.0)
    with torch.no_grad():
        mlp.theta[0] = bad
    assert not mlp(torch.ones(3, 4, dtype=torch.float64)).isfinite().all()


def test_heads_are_columns():
    outputs = torch.arange(12.0).view(2, 6)
    assert torch.equal(OutputColumns(2, 5)(outputs), outputs[:, 2:5])
    assert OutputColumns(0, 6)(outputs) is outputs
    assert not list(OutputColumns(2, 5).parameters())


def test_unread_inputs_take_no_part():
    masks = [torch.tensor([[True, False, True]]), torch.tensor([[True]])]
    wiring = Wiring.of(relu_layers(masks))
    assert wiring.inputs.tolist() == [0, 2]
    assert wiring.n_units == 4
    assert wiring.sources.tolist() == [0, 1, 2]
    assert wiring.indptr.tolist() == [0, 2, 3]
    assert wiring.readers_indptr.tolist() == [0, 1, 2, 3, 3]
    assert wiring.readers.tolist() == [2, 2, 3]


def layer(size, columns, reads, generator, **options):
    return Linear(torch.rand(size, columns, generator=generator) < 0.6, reads, **options)


def of_steps(steps, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = sum(s.n_further + (int(s.mask.sum()) if isinstance(s, Linear) else 0) for s in steps)
    return SparseMLP(steps, torch.randn(size, generator=generator, dtype=dtype))


def normalised(activation, affine, generator):
    """Linear, activation, normalisation, twice, as d3rlpy's vector encoders have them."""
    return [
        layer(7, 5, -1, generator, activation=activation),
        Norm(0, 7, affine=affine),
        layer(6, 7, 1, generator, activation=activation, has_bias=affine),
        Norm(2, 6, affine=affine),
        layer(3, 6, 3, generator),
    ]


def residual(activation, affine, generator):
    """Two blocks of a stream that normalisations and additions read, as SimBa has them."""
    return [
        layer(6, 5, -1, generator),
        Norm(0, 6, affine=affine),
        layer(9, 6, 1, generator, activation=activation),
        layer(6, 9, 2, generator, adds=0),
        Norm(3, 6, affine=affine),
        layer(8, 6, 4, generator, activation=activation),
        layer(6, 8, 5, generator, adds=3),
        Norm(6, 6, affine=affine),
        layer(2, 6, 7, generator),
    ]


@pytest.mark.parametrize("build", [normalised, residual])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("batch", [3, 2 * TILE + 5])
def test_normalisations_activations_and_residuals_are_torchs(build, activation, affine, batch):
    mlp = of_steps(build(activation, affine, torch.Generator().manual_seed(1)))
    x, action = inputs((5,), 2, batch)
    outputs = [mlp(x, action), mlp.as_dense_layers(x, action)]
    torch.testing.assert_close(*outputs)
    upstream = torch.randn_like(outputs[0])
    found, expected = (
        torch.autograd.grad(out, [mlp.theta, x, action], upstream) for out in outputs
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("build", [normalised, residual])
@pytest.mark.parametrize("activation", ["tanh", "swish", "gelu"])
def test_gradcheck_of_normalised_networks(build, activation):
    mlp = of_steps(build(activation, True, torch.Generator().manual_seed(2)))
    x, action = inputs((5,), 2, 4)

    def evaluate(theta, x, action):
        return torch.func.functional_call(mlp, {"theta": theta}, (x, action))

    assert torch.autograd.gradcheck(evaluate, (mlp.theta, x, action))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_in_single_precision(activation):
    """One unit that passes its input on: what the kernels compute beside torch in double."""
    one = torch.ones(1, 1, dtype=torch.bool)
    steps = [Linear(one, -1, activation, has_bias=False), Linear(one, 0, has_bias=False)]
    single, double = (SparseMLP(steps, torch.ones(2, dtype=t)) for t in (torch.float, torch.double))
    x = torch.cat([torch.linspace(-12, 12, 4001), torch.logspace(-6, 0, 50)])[:, None]
    found = [v.requires_grad_() for v in (x.clone(), x.double())]
    outputs = [single(found[0]), double.as_dense_layers(found[1])]
    torch.testing.assert_close(outputs[0].double(), outputs[1], rtol=3e-6, atol=2e-6)
    for out in outputs:
        out.sum().backward()
    torch.testing.assert_close(found[0].grad.double(), found[1].grad, rtol=1e-5, atol=2e-6)
