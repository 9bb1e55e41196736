"""Units that nobody reads leave, and the function stays what it is."""

import copy
import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from offline_prune.agents.traced_units import traced_units
from offline_prune.compaction.layers import at_least_one
from offline_prune.compaction.unit_removal import remove_units
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.masks.reading import read_units


def residual(pooled, density, seed):
    """A network with zeros at random, units dead at one end or at both, and biases."""
    torch.manual_seed(seed)
    factory = ImpalaEncoderFactory(filters=[5, 6], feature_size=9, pooled=pooled)
    network = nn.Sequential(factory.create((2, 9, 7)), nn.Linear(9, 3))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.weight *= 2.0 * (torch.rand(module.weight.shape) < density)
                module.bias.normal_()
        stages = network[0].torso.stages
        for lost in (1, 4):  # of stage 0: read by nobody; 4 reads nothing either
            for block in stages[0].blocks:
                block.first.weight[:, lost] = 0.0
            stages[1].convolution.weight[:, lost] = 0.0
        for layer in (stages[0].convolution, *(block.second for block in stages[0].blocks)):
            layer.weight[[3, 4]] = (
                0.0  # 3 reads nothing, but is read: a constant that padding breaks
            )
        stages[1].blocks[0].first.weight[2] = 0.0  # the same in a block
        stages[1].blocks[1].second.weight[:, 0] = 0.0
        network[1].weight[:, [0, 7]] = 0.0
    return network.eval().double()


@functools.cache
def graph_of(pooled):
    network = residual(pooled, 1.0, 0)
    names = {id(p): name for name, p in network.named_parameters() if name.endswith("weight")}
    return traced_units(network, [torch.zeros(2, 2, 9, 7).double()], [network[1]], names)


@given(
    pooled=st.booleans(),
    density=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=15, deadline=None)
def test_the_function_stays_what_it_is(pooled, density, seed):
    pytest.importorskip("torch_pruning")
    network = residual(pooled, density, seed)
    graph = graph_of(pooled)
    units = read_units(graph, dict(network.named_parameters()))
    small = copy.deepcopy(network)
    remove_units(small, graph, units)
    units = [at_least_one(there) for there in units]
    x = torch.randn(4, 2, 9, 7).double()
    with torch.no_grad():
        torch.testing.assert_close(small(x), network(x), atol=1e-12, rtol=1e-12)
    for w in graph.weights:
        left = small.get_parameter(w.name)
        rows = w.shape[0] if w.rows is None else int(units[w.rows].sum())
        assert left.shape[:2] == (rows, int(graph.columns(w, units).sum()))
    if density == 1.0:
        rows = {w.name: len(small.get_parameter(w.name)) for w in graph.weights}
        assert list(rows.values()) == [3, 5, 3, 5, 3, 6, 6, 6, 5, 6, 7, 3]  # as they stand


def test_what_is_read_matters():
    """No unit that stays could leave: another value of it changes the outputs."""
    pytest.importorskip("torch_pruning")
    network = residual(False, 1.0, 0)
    graph = graph_of(False)
    units = read_units(graph, dict(network.named_parameters()))
    x = torch.randn(64, 2, 9, 7).double()
    with torch.no_grad():
        before = network(x)
        for layer, there in zip(graph.layers, units, strict=True):
            bias = network.get_parameter(layer.name.replace("weight", "bias"))
            for unit in range(layer.size):
                value = bias[unit].clone()
                bias[unit] += 5.0
                assert torch.equal(network(x), before) == (not there[unit])
                bias[unit] = value
