"""Connectivity against brute force: enumerate the paths of small networks."""

import itertools

import pytest
import torch
from d3rlpy.models.torch import NormalPolicy
from d3rlpy.models.torch.encoders import PixelEncoderWithAction, VectorEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from offline_prune.agents.topology import Chain, Layer, Stage, find_chains
from offline_prune.masks.connectivity import connected_part, has_path


def mlp_chain(widths, heads):
    """A chain of linear layers ``widths`` with heads of the given output widths."""
    stages = [
        Stage((Layer(f"hidden{i}", nn.Linear(a, b)),), 1, (nn.ReLU(),))
        for i, (a, b) in enumerate(itertools.pairwise(widths))
    ]
    last = tuple(Layer(f"head{i}", nn.Linear(widths[-1], out)) for i, out in enumerate(heads))
    return Chain((*stages, Stage(last, 1, ())), True)


def paths(chain, mask, head):
    """All (input, unit, …, output) sequences whose weights are all kept."""
    layers = [stage.layers[0].name for stage in chain.stages[:-1]] + [head]
    ranges = [range(mask[layers[0]].shape[1])]
    ranges += [range(mask[name].shape[0]) for name in layers]
    for path in itertools.product(*ranges):
        steps = itertools.pairwise(path)
        if all(mask[n][j, i] for n, (i, j) in zip(layers, steps, strict=True)):
            yield list(zip(layers, itertools.pairwise(path), strict=True))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=5),
    st.lists(st.integers(1, 2), min_size=1, max_size=2),
    st.floats(0.1, 0.9),
    st.integers(0, 2**31),
)
def test_connected_weights_are_those_on_paths(widths, heads, density, seed):
    chain = mlp_chain(widths, heads)
    generator = torch.Generator().manual_seed(seed)
    mask = {
        layer.name: torch.rand(layer.module.weight.shape, generator=generator) < density
        for stage in chain.stages
        for layer in stage.layers
    }
    expected = {name: torch.zeros_like(m) for name, m in mask.items()}
    for head in chain.stages[-1].layers:
        for path in paths(chain, mask, head.name):
            for name, (i, j) in path:
                expected[name][j, i] = True
    found = connected_part([chain], mask)
    assert all(torch.equal(found[name], expected[name]) for name in mask)
    assert has_path(chain, mask) == any(m.any() for m in expected.values())
    # The connected part is its own connected part.
    again = connected_part([chain], found)
    assert all(torch.equal(again[name], found[name]) for name in mask)


def chain_of(module, prefix="net"):
    names = {
        id(child.weight): f"{prefix}.{name}.weight"
        for name, child in module.named_modules()
        if isinstance(child, nn.Linear | nn.Conv2d)
    }
    (chain,) = find_chains([module], names)
    return chain


def test_a_channel_owns_its_columns_after_flattening_and_actions_are_inputs():
    encoder = PixelEncoderWithAction((1, 8, 8), 2, [[3, 4, 2], [2, 2, 1]], 4)
    policy = NormalPolicy(encoder, 4, 2, -5.0, 2.0, use_std_parameter=False)
    chain = chain_of(policy)
    flat = chain.stages[2]
    assert flat.repeat == 4
    mask = {
        layer.name: torch.ones_like(layer.module.weight, dtype=torch.bool)
        for stage in chain.stages
        for layer in stage.layers
    }
    second = chain.stages[1].layers[0].name
    mask[second][1] = False  # channel 1 of the second convolution loses its inputs
    found = connected_part([chain], mask)
    assert not found[flat.layers[0].name][:, 4:8].any()
    assert found[flat.layers[0].name][:, :4].all()
    assert found[flat.layers[0].name][:, 8:].all()  # the action's columns


def test_layer_norm_mixes_units_so_there_is_no_chain():
    policy = NormalPolicy(VectorEncoder([3], [4], use_layer_norm=True), 4, 2, -5.0, 2.0, False)
    names = {id(p): name for name, p in policy.named_parameters()}
    assert find_chains([policy], names) == ()


def test_batch_norm_and_dropout_have_paths_but_do_not_fold():
    for options in ({"use_batch_norm": True}, {"dropout_rate": 0.5}):
        policy = NormalPolicy(VectorEncoder([3], [4], **options), 4, 2, -5.0, 2.0, False)
        assert not chain_of(policy).constant_units_fold
