"""Units found by tracing, against the wiring that is known."""

import d3rlpy
import pytest
import torch

from offline_prune import Agent
from offline_prune.agents import build_agent
from offline_prune.agents.traced_units import traced_units
from offline_prune.agents.unit_groups import unit_groups
from offline_prune.agents.units import Segment, chain_units
from offline_prune.encoders import ImpalaEncoderFactory
from tests.worlds import CASES, agent, dataset

pytest.importorskip("torch_pruning")


def as_sets(graph):
    """Weight → (layer of its rows, layers and widths of its columns), layers by name."""
    name = {None: None} | {i: layer.name for i, layer in enumerate(graph.layers)}
    return {
        w.name: (name[w.rows], [(name[s.layer], s.columns) for s in w.segments])
        for w in graph.weights
    }


@pytest.mark.parametrize("kind", ["vector-discrete", "pixel-discrete"])
def test_a_stack_of_layers_is_found_again(kind):
    subject = agent(kind, "cql")
    (chain,) = subject.chains
    head = subject.algo.impl.modules.q_funcs[0]._fc
    names = {id(w): n for n, w in subject.weights.items()}
    x = torch.zeros(2, *subject.algo.impl.observation_shape)
    traced = traced_units(subject.algo.impl.modules.q_funcs[0], [x], [head], names)
    assert as_sets(traced) == as_sets(chain_units(chain))


@pytest.mark.parametrize("encoder", ["layer_norm", "simba"])
def test_units_of_a_vae_of_normalised_layers(encoder):
    sizes = {"layer_norm": {"hidden_units": [7, 6]},
             "simba": {"simba": {"feature_size": 6, "hidden_size": 9}}}  # fmt: skip
    params = {"encoder": encoder, "batch_size": 4, **sizes[encoder]}
    subject = build_agent(dataset("vector-continuous"), "bcq", algo_params=params).agent
    group = next(g for g in unit_groups(subject) if g.roles == ("imitator",))
    latent = subject.algo.impl.modules.vae_encoder._mu.weight.shape[0]
    found = as_sets(group.graph)
    for module, heads in (("vae_encoder", ["_mu", "_logstd"]), ("vae_decoder", ["_fc"])):
        last = found[f"{module}.{heads[0]}.weight"][1]
        assert [columns for _, columns in last] == [6]
        for head in heads:
            assert found[f"{module}.{head}.weight"] == (None, last)
    assert {name for name, (rows, _) in found.items() if rows is None} == {
        "vae_encoder._mu.weight", "vae_encoder._logstd.weight", "vae_decoder._fc.weight",
    }  # fmt: skip
    assert latent == 2 * subject.algo.impl.action_size


@pytest.fixture
def impala():
    return residual()


def residual(pooled=False):
    factory = ImpalaEncoderFactory(filters=[4, 6], feature_size=10, pooled=pooled)
    config = d3rlpy.algos.TD3PlusBCConfig(
        actor_encoder_factory=factory, critic_encoder_factory=factory
    )
    algo = config.create()
    algo.create_impl((3, 10, 10), 2)
    return Agent.of(algo)


def test_channels_that_are_added_are_one(impala):
    groups = unit_groups(impala)
    assert [group.roles for group in groups] == [("actor",), ("critic[0]",), ("critic[1]",)]
    graph = groups[1].graph
    weights = {w.name.removeprefix("q_funcs.0._encoder."): w for w in graph.weights}
    stack = {
        name: weights[f"torso.stages.0.{name}.weight"].rows
        for name in ("convolution", "blocks.0.second", "blocks.1.second")
    }
    assert len(set(stack.values())) == 1
    tied = stack["convolution"]
    inner = {weights[f"torso.stages.0.blocks.{i}.first.weight"].rows for i in (0, 1)}
    assert len(inner) == 2
    assert tied not in inner
    for name in ("blocks.0.first", "blocks.1.first"):
        assert weights[f"torso.stages.0.{name}.weight"].segments == (Segment(tied, 4),)
    assert weights["torso.stages.1.convolution.weight"].segments == (Segment(tied, 4),)
    # 10 → 5 → 3: a flattened channel owns nine columns; the action's are nobody's.
    last = weights["last.weight"].segments
    assert [(s.layer is None, s.columns) for s in last] == [(False, 6 * 9), (True, 2)]
    assert weights["torso.stages.0.convolution.weight"].segments == (Segment(None, 3),)
    assert graph.n_weights == sum(w.numel() for w in impala.networks[1].weights.values())


def test_an_averaged_channel_owns_one_column():
    flat, pooled = (unit_groups(residual(pooled))[1].graph for pooled in (False, True))
    last = "q_funcs.0._encoder.last.weight"
    before, after = as_sets(flat), as_sets(pooled)
    (channels, columns), action = before.pop(last)[1]
    assert columns == 6 * 9
    assert after.pop(last) == ("q_funcs.0._encoder.last.weight", [(channels, 6), action])
    assert before == after


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_groups_cover_every_weight_once(kind, algo):
    subject = agent(kind, algo)
    groups = unit_groups(subject)
    names = [w.name for group in groups for w in group.graph.weights]
    assert sorted(names) == sorted(subject.weights)
    roles = [role for group in groups for role in group.roles]
    assert sorted(roles) == sorted(subject.roles)


def test_norms_by_hand(impala):
    graph = unit_groups(impala)[0].graph
    values = {w.name: torch.zeros(w.shape) for w in graph.weights}
    last = next(w for w in graph.weights if w.name.endswith("last.weight"))
    values[last.name][2] = -3.0  # a feature's row: 54 columns
    values[last.name][:, 9] = 2.0  # column 9 is channel 1's first
    layer = last.segments[0].layer
    row, column = graph.norms(values, 1)[last.rows], graph.norms(values, 1)[layer]
    assert row.tolist() == [2.0] * 2 + [3.0 * 53 + 2.0] + [2.0] * 7
    assert column.tolist() == [27.0, 24.0 + 20.0, 27.0, 27.0, 27.0, 27.0]
    assert graph.norms(values, 2)[layer][0] == pytest.approx((9 * 9) ** 0.5)
