"""Units of IMPALA encoders, against those that tracing finds."""

import d3rlpy
import pytest
import torch
from torch import nn

from offline_prune import Agent
from offline_prune.agents.residual_units import residual_units
from offline_prune.agents.traced_units import traced_units
from offline_prune.agents.unit_groups import unit_groups
from offline_prune.encoders import ImpalaEncoderFactory


def residual(pooled=False, n_actions=2):
    factory = ImpalaEncoderFactory(filters=[4, 6], feature_size=10, pooled=pooled)
    algo = d3rlpy.algos.TD3PlusBCConfig(
        actor_encoder_factory=factory, critic_encoder_factory=factory
    ).create()
    algo.create_impl((3, 10, 10), n_actions)
    return Agent.of(algo)


def as_sets(graph):
    """Weight → (all weights of its rows, those of its columns and how many)."""
    tied = {None: None}
    for number in range(len(graph.layers)):
        tied[number] = frozenset(w.name for w in graph.weights if w.rows == number)
    return {
        w.name: (tied[w.rows], [(tied[s.layer], s.columns) for s in w.segments])
        for w in graph.weights
    }


@pytest.mark.parametrize("pooled", [False, True])
def test_they_are_those_that_tracing_finds(pooled):
    pytest.importorskip("torch_pruning")
    subject = residual(pooled)
    names = {id(w): n for n, w in subject.weights.items()}
    critic = subject.algo.impl.modules.q_funcs[0]
    inputs = [torch.zeros(2, 3, 10, 10), torch.zeros(2, 2)]
    traced = traced_units(critic, inputs, [critic._fc], names)
    graph, layers = residual_units(critic._encoder, [critic._fc], names)
    assert as_sets(graph) == as_sets(traced)
    assert [layer.name for layer in layers] == [weight.name for weight in graph.weights]
    assert all(names[id(layer.module.weight)] == layer.name for layer in layers)


def test_actions_are_nobodys_however_many_there_are():
    """Tracing takes columns of actions for those of channels if they outnumber them."""
    subject = residual(n_actions=9)
    (group,) = [g for g in unit_groups(subject) if g.roles == ("critic[0]",)]
    (last,) = [w for w in group.graph.weights if w.name.endswith("last.weight")]
    assert [(s.layer is None, s.columns) for s in last.segments] == [(False, 6 * 9), (True, 9)]


def test_other_encoders_and_other_blocks_are_left_alone():
    subject = residual()
    names = {id(w): n for n, w in subject.weights.items()}
    encoder = subject.algo.impl.modules.policy._encoder
    encoder.torso.stages[1].blocks[0] = nn.Identity()
    assert residual_units(encoder, [], names) is None
    assert residual_units(nn.Linear(2, 2), [], names) is None
