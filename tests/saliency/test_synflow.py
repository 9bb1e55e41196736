"""SynFlow's conservation laws, and its place among the methods."""

import d3rlpy
import pytest
import torch

from offline_prune.agents import build_agent
from offline_prune.errors import AlgorithmError
from offline_prune.masks.connectivity import has_path
from offline_prune.methods import PruningSettings, make_method
from offline_prune.saliency.synflow import synflow
from tests.worlds import CASES, agent, dataset


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_every_layer_carries_the_whole_flow(kind, algo):
    subject = agent(kind, algo)
    scores = {n: s for found in synflow(subject).values() for n, s in found.items()}
    for chain in subject.chains:
        flows = [sum(scores[layer.name].sum() for layer in stage.layers) for stage in chain.stages]
        appended = hasattr(chain.owners[0]._encoder, "_last_layers") and hasattr(
            chain.owners[0]._encoder, "_action_size"
        )
        if appended:  # the action joins after the convolutions and brings flow of its own
            flows = flows[-2:]
        for flow in flows:
            torch.testing.assert_close(flow, flows[0])


def test_a_hidden_unit_passes_on_what_it_gets():
    subject = agent("vector-continuous", "iql")
    scores = {n: s for found in synflow(subject).values() for n, s in found.items()}
    for chain in subject.chains:
        for stage, reader in zip(chain.stages[:-1], chain.stages[1:], strict=True):
            into = scores[stage.layers[0].name].sum(dim=1)
            out = sum(scores[layer.name].sum(dim=0) for layer in reader.layers)
            torch.testing.assert_close(into, out)


WIDE = {"hidden_units": [64, 64], "n_action_samples": 5, "batch_size": 16}


def test_two_layers_by_hand():
    """R = Σ_ij |v_j| |u_ji|; the score of u_ji is |v_j u_ji| / R."""
    subject = build_agent(
        dataset("vector-continuous"), "bc", algo_params={"hidden_units": [3]}
    ).agent
    first, head = subject.weights.values()
    found = list(synflow(subject)["actor"].values())
    u, v = first.detach().double().abs(), head.detach().double().abs()
    total = (v @ u).sum()
    torch.testing.assert_close(found[0], u * v.sum(dim=0)[:, None] / total)
    torch.testing.assert_close(found[1], v * u.sum(dim=1)[None, :] / total)


@pytest.mark.slow
def test_neither_half_of_a_vae_is_emptied():
    """Encoder and decoder share a threshold; they have the same flow, whatever its size."""
    subject = build_agent(dataset("vector-continuous"), "bcq", algo_params=WIDE).agent
    settings = PruningSettings(subject.per_network(0.99))
    mask = make_method("synflow", settings).before_training(subject, dataset("vector-continuous"))
    chains = [c for c in subject.chains if c.weight_names[0].startswith("vae")]
    assert len(chains) == 2
    assert all(has_path(chain, mask.nominal) for chain in chains)


def test_unknown_wiring_is_refused():
    encoder = d3rlpy.models.SimBaEncoderFactory()
    config = d3rlpy.algos.BCConfig(batch_size=8, encoder_factory=encoder)
    subject = build_agent(dataset("vector-continuous"), config).agent
    with pytest.raises(AlgorithmError, match="wired"):
        synflow(subject)


def test_layer_normalisation_lets_the_flow_through():
    """The scores are those of the same weights without it; none of its units is dead."""
    options = {"hidden_units": [24, 24]}
    plain = build_agent(dataset("vector-continuous"), "bc", algo_params=options).agent
    options["encoder"] = "layer_norm"
    normalised = build_agent(dataset("vector-continuous"), "bc", algo_params=options).agent
    assert len(plain.chains) == len(plain.paths) == len(normalised.paths) == 1
    assert not normalised.chains
    ours, theirs = (list(a.weights.values()) for a in (plain, normalised))
    for a, b in zip(ours, theirs, strict=True):
        b.data.copy_(a)
    expected, found = (list(synflow(a)["actor"].values()) for a in (plain, normalised))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b)


def test_nothing_of_the_agent_changes():
    subject = agent("pixel-discrete", "bcq")
    before = {n: w.detach().clone() for n, w in subject.weights.items()}
    synflow(subject)
    for name, weight in subject.weights.items():
        assert torch.equal(weight, before[name])
        assert weight.grad is None
