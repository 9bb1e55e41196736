"""PX path by path, against d3rlpy's own modules, and what it keeps."""

import itertools

import d3rlpy
import numpy as np
import pytest
import torch
from torch import nn

from offline_prune import Agent
from offline_prune.agents import build_agent
from offline_prune.errors import AlgorithmError
from offline_prune.masks.allocation import kept_count
from offline_prune.masks.build import has_path
from offline_prune.methods import PruningSettings, make_method
from offline_prune.saliency.px import px
from tests.agents.test_losses import assert_same, snapshot, trained
from tests.ofenet.algorithms import make
from tests.worlds import CASES, agent, dataset, long_dataset, params

VECTOR = "vector-continuous"


def thinned(subject):
    """Some weights pruned, biases drawn: outputs differ in how many paths reach them."""
    generator = torch.Generator().manual_seed(17)  # not the seed that drew the weights
    with torch.no_grad():
        for weight in subject.weights.values():
            weight *= torch.rand(weight.shape, generator=generator) < 0.6
        for module in subject.algo.impl.modules.get_torch_modules().values():
            for name, bias in module.named_parameters():
                if name.endswith("bias"):
                    bias.copy_(0.3 * torch.randn(bias.shape, generator=generator))
    return subject


def flat(scores):
    return {n: s for found in scores.values() for n, s in found.items()}


def small(kind, algo):
    return thinned(build_agent(dataset(kind), algo, algo_params={"hidden_units": [4]}).agent)


def by_paths(chain, x):
    """Scores of a chain of two layers, summed over all paths input → unit → output in numpy."""
    first, heads = chain.stages[0].layers[0], chain.stages[1].layers
    u, bias = (p.detach().double().numpy() for p in (first.module.weight, first.module.bias))
    v = np.concatenate([head.module.weight.detach().double().numpy() for head in heads])
    is_open = x @ u.T + bias > 0
    n_units, n_inputs, n_outputs = len(u), x.shape[1], len(v)
    z1 = np.zeros(n_outputs)
    for i, j, k in itertools.product(range(n_inputs), range(n_units), range(n_outputs)):
        if u[j, i] and v[k, j]:
            z1[k] += sum(x[n, i] ** 2 for n in range(len(x)) if is_open[n, j])
    into, out, total = np.zeros_like(u), np.zeros_like(v), 0.0
    for i, j, k in itertools.product(range(n_inputs), range(n_units), range(n_outputs)):
        path = z1[k] * u[j, i] ** 2 * v[k, j] ** 2
        into[j, i] += path
        out[k, j] += path
        total += path
    return into / total, out / total


@pytest.mark.parametrize(
    ("kind", "algo", "role"),
    [
        (VECTOR, "bc", "actor"),
        (VECTOR, "cql", "actor"),  # two heads
        (VECTOR, "bcq", "actor"),  # state and action
        (VECTOR, "td3_plus_bc", "critic[0]"),
        (VECTOR, "iql", "value"),
        ("vector-discrete", "cql", "critic[0]"),
        ("vector-discrete", "bcq", "critic[0]"),  # the imitator's head on the same encoder
    ],
)
def test_two_layers_path_by_path(kind, algo, role):
    subject, data = small(kind, algo), dataset(kind)
    batches = subject.host.draw_batches(data, 2, seed=0)
    scores = flat(px(subject, batches))
    names = set(next(n for n in subject.networks if n.role == role).weights)
    (chain,) = [c for c in subject.chains if names & set(c.weight_names)]
    parts = [torch.cat([batch.observations for batch in batches])]
    if chain.stages[0].layers[0].module.in_features > parts[0].shape[1]:
        parts.append(torch.cat([batch.actions for batch in batches]))
    into, out = by_paths(chain, torch.cat(parts, dim=1).double().numpy())
    found = [scores[layer.name].numpy() for layer in chain.stages[1].layers]
    np.testing.assert_allclose(scores[chain.weight_names[0]].numpy(), into, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate(found), out, rtol=1e-6)


def by_modules(owner, batch, latent):
    """z₁ and R's derivatives through d3rlpy's own forward, weights and activations replaced."""
    encoder, with_action = owner._encoder, hasattr(owner._encoder, "_action_size")
    heads = [m for m in owner.children() if m is not encoder]
    layers = [m for m in owner.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    joining = latent if type(owner).__name__ == "VAEDecoder" else batch.actions

    def outputs(x, a):
        h = encoder(x, a) if with_action else encoder(x)
        return torch.cat([head(h) for head in heads], dim=1)

    patterns = []
    relu = next(m for m in encoder.modules() if isinstance(m, nn.ReLU))
    before = {p: p.data for p in owner.parameters()}
    with torch.no_grad():
        note = relu.register_forward_hook(lambda _, __, output: patterns.append(output > 0))
        outputs(batch.observations, joining)
        note.remove()
        for layer in layers:
            layer.weight.data = (layer.weight != 0).double()
            layer.bias.data = torch.zeros_like(layer.bias).double()
        gate = relu.register_forward_hook(lambda _, inputs, __: inputs[0] * patterns.pop(0))
        z1 = outputs(batch.observations.double() ** 2, joining.double() ** 2)
        gate.remove()
    for layer in layers:
        layer.weight.data = before[layer.weight].double() ** 2
    z2 = outputs(
        torch.ones_like(batch.observations[:1]).double(), torch.ones_like(joining[:1]).double()
    )
    total = (z1.mean(dim=0) * z2[0]).sum()
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad(total, weights)
    found = {
        layer: (weight.detach() * gradient / total.detach()).abs()
        for layer, weight, gradient in zip(layers, weights, gradients, strict=True)
    }
    for parameter, data in before.items():
        parameter.data = data
    return found


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_d3rlpys_own_modules_agree(kind, algo):
    """Convolutions, actions that join behind them, both halves of a VAE."""
    subject = thinned(agent(kind, algo))
    (batch,) = subject.host.draw_batches(dataset(kind), 1, seed=0)
    scores = flat(px(subject, [batch], seed=3))
    for chain in subject.chains:
        if len(chain.owners) > 1:
            continue  # discrete BCQ: two modules of one encoder
        owner = chain.owners[0]
        size = getattr(owner._encoder, "_action_size", 0)
        generator = torch.Generator().manual_seed(3)
        latent = torch.randn(len(batch.actions), size, generator=generator)
        expected = by_modules(owner, batch, latent)
        assert len(expected) == len(chain.weight_names)
        for layer in [layer for stage in chain.stages for layer in stage.layers]:
            torch.testing.assert_close(
                scores[layer.name], expected[layer.module], rtol=1e-6, atol=1e-15
            )


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_every_layer_carries_the_same(kind, algo):
    subject = thinned(agent(kind, algo))
    scores = flat(px(subject, subject.host.draw_batches(dataset(kind), 1, seed=0)))
    for chain in subject.chains:
        flows = [sum(scores[layer.name].sum() for layer in stage.layers) for stage in chain.stages]
        if kind.startswith("pixel") and hasattr(chain.owners[0]._encoder, "_action_size"):
            flows = flows[-2:]  # the action joins behind the convolutions
        for part in flows:
            assert float(part) == pytest.approx(1.0)


def test_the_data_weigh_outputs_against_one_another_and_nothing_else():
    """Other observations change the scores of a policy, those of a critic not at all."""
    subject, data = thinned(agent(VECTOR, "td3_plus_bc")), dataset(VECTOR)
    (batch,) = subject.host.draw_batches(data, 1, seed=0)
    (other,) = subject.host.draw_batches(data, 1, seed=0)
    other.observations.mul_(torch.tensor([5.0, 0.1, 1.0, 1.0, 1.0]))
    found, changed = flat(px(subject, [batch])), flat(px(subject, [other]))
    for name, score in found.items():
        assert torch.equal(score, changed[name]) == name.startswith("q_funcs")


def test_where_no_path_is_open_all_outputs_count_alike():
    subject = agent(VECTOR, "bc")
    batches = subject.host.draw_batches(dataset(VECTOR), 1, seed=0)
    dense = px(subject, batches)["actor"]
    with torch.no_grad():
        subject.algo.impl.modules.imitator._encoder._layers[0].bias.fill_(-1e6)
        subject.algo.impl.modules.imitator._encoder._layers[2].bias.fill_(-1e6)
    for name, score in px(subject, batches)["actor"].items():
        assert score.any()
        torch.testing.assert_close(score, dense[name])  # equal paths to every output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "algo"),
    [case for case in CASES if case[0].startswith("vector") or case[1] in ("iql", "bcq")],
)
def test_nothing_collapses_at_99_percent(kind, algo):
    options = params(kind, algo, whole=True)
    if kind.startswith("vector"):
        options["hidden_units"] = [64, 64]
    subject = build_agent(dataset(kind), algo, algo_params=options).agent
    rounds = "px" if kind.startswith("vector") else "px(rounds=20)"
    method = make_method(rounds, PruningSettings(subject.per_network(0.99)))
    mask = method.before_training(subject, dataset(kind))
    assert all(has_path(chain, mask.nominal) for chain in subject.chains)
    assert mask.n_connected >= 0.95 * mask.n_kept
    for network in subject.networks:
        assert mask[network.role].n_kept == kept_count(network.n_weights, 0.99)


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_nothing_of_the_agent_changes(kind, algo):
    subject = trained(kind, algo)
    before = snapshot(subject.algo)
    make_method("px(rounds=2)", PruningSettings(subject.per_network(0.8))).before_training(
        subject, dataset(kind)
    )
    assert_same(before, snapshot(subject.algo))


def encoded(**options):
    encoder = d3rlpy.models.VectorEncoderFactory([8], **options)
    config = d3rlpy.algos.BCConfig(batch_size=8, encoder_factory=encoder)
    return build_agent(dataset(VECTOR), config).agent


def test_batch_normalisation_and_dropout_are_evaluated():
    subject = encoded(use_batch_norm=True, dropout_rate=0.5)
    batches = subject.host.draw_batches(dataset(VECTOR), 1, seed=0)
    subject.algo.impl.modules.set_train()
    before = snapshot(subject.algo)
    found = px(subject, batches)["actor"]
    assert_same(before, snapshot(subject.algo))
    for name, score in px(subject, batches)["actor"].items():
        assert torch.equal(score, found[name])


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (lambda: encoded(use_layer_norm=True), "PX follows every weight .* wired is not known"),
        (lambda: encoded(activation="tanh"), "ReLUs open or close.*imitator.*has Tanh"),
        (lambda: Agent.of(make("bc"), "bc"), "imitator.*reads an OFENet's features"),
    ],
)
def test_what_it_cannot_follow_is_refused(subject, message):
    subject = subject()
    method = make_method("px", PruningSettings(subject.per_network(0.5)))
    with pytest.raises(AlgorithmError, match=message):
        method.choose_agent(subject, dataset(VECTOR))
    with pytest.raises(AlgorithmError, match=message):
        px(subject, [])


def test_the_seed_decides_which_transitions_it_sees():
    data = long_dataset()
    subject = build_agent(data, "bc", algo_params={"hidden_units": [64, 64]}).agent

    def mask(seed):
        settings = PruningSettings(subject.per_network(0.9), n_batches=1, seed=seed)
        return make_method("px(rounds=9)", settings).before_training(subject, data)

    assert mask(0) == mask(0)
    assert mask(0) != mask(1)


def test_the_seed_decides_which_latents_a_decoder_sees():
    subject = thinned(agent(VECTOR, "bcq"))
    batches = subject.host.draw_batches(dataset(VECTOR), 1, seed=0)
    scores = [flat(px(subject, batches, seed)) for seed in (0, 0, 1)]
    for name, score in scores[0].items():
        assert torch.equal(score, scores[1][name])
        assert torch.equal(score, scores[2][name]) != name.startswith("vae_decoder")
