"""An OFENet is a network of its own: scored, pruned and gated as the others are."""

import d3rlpy
import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory

from offline_prune import PruneResult, prune, prune_online, prune_then_train
from offline_prune.agents import build_agent
from offline_prune.agents.feature_units import feature_readers, feature_units
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.masks.allocation import kept_count
from offline_prune.ofenet import OFENetEncoderFactory, find_ofenet, ofenet_parameters
from tests.worlds import dataset, within_budget

DATA = "vector-continuous"
PARAMS = {
    "batch_size": 16,
    "hidden_units": [24, 24],
    "encoder": "ofenet",
    "ofenet": {"n_layers": 3, "units": 8},
}
ALGOS = ("bc", "iql", "cql", "bcq", "td3_plus_bc")


def params(algo):
    few = {"cql": {"n_action_samples": 3}, "bcq": {"n_action_samples": 5}}
    return PARAMS | few.get(algo, {})


def run(algo, method, sparsity=0.7, n_steps=30, **options):
    return prune_then_train(
        dataset(DATA),
        algo,
        sparsity,
        method=method,
        n_steps=n_steps,
        evaluate=0,
        algo_params=params(algo),
        progress=False,
        **options,
    )


METHODS = ("snip", "grasp", "prospr", "gmp", "rigl", "gates(interval=1)")
# Every algorithm with every method, and each of them with both engines.
PAIRS = [
    (algo, method, ("masked", "auto")[(i + j) % 2])
    for i, algo in enumerate(ALGOS)
    for j, method in enumerate(METHODS)
]


@pytest.mark.slow
@pytest.mark.parametrize(("algo", "method", "engine"), PAIRS)
def test_features_are_pruned_with_the_rest(algo, method, engine):
    result = run(algo, method, engine=engine, feature_steps=5)
    features = result.mask["features"]
    kept = kept_count(features.n_weights, 0.7)
    assert features.n_kept == kept or ("gates" in method and features.n_kept < kept)
    ofenet = find_ofenet(result.algo)
    for name, weight in ofenet.named_parameters():
        if (mask := result.mask.connected.get(f"ofenet.{name}")) is not None:
            assert not weight[~mask].any()
        assert not weight.requires_grad
    assert ofenet.optimizer is None


@pytest.mark.slow
def test_features_learn_while_pruned():
    subject, mask = prune(dataset(DATA), "iql", 0.7, algo_params=params("iql"))
    before = {n: w.clone() for n, w in subject.weights.items() if n.startswith("ofenet")}
    subject.algo.fit(
        dataset(DATA).buffer,
        n_steps=100,
        n_steps_per_epoch=100,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=subject.callback,
    )
    losses = subject.features.losses
    assert len(losses) == 100
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    for name, old in before.items():
        kept = mask.connected[name]
        assert not subject.weights[name][~kept].any()
        assert not torch.equal(subject.weights[name][kept], old[kept])
    subject.finish()


def test_scoring_leaves_the_features_as_they_are():
    agent = build_agent(dataset(DATA), "iql", algo_params=params("iql")).agent
    ofenet = find_ofenet(agent.algo)
    before = {n: t.clone() for n, t in ofenet.state_dict().items()}
    prune(dataset(DATA), agent.algo, 0.0, method="grasp")
    assert all(torch.equal(t, before[n]) for n, t in ofenet.state_dict().items())
    assert not any(p.requires_grad for p in ofenet.parameters())


def test_units_of_an_ofenet():
    agent = build_agent(dataset(DATA), "iql", algo_params=params("iql")).agent
    ofenet = find_ofenet(agent.algo)
    graph = feature_units(ofenet)
    (network,) = [n for n in agent.networks if n.role == "features"]
    assert {w.name: w.shape for w in graph.weights} == {
        n: tuple(w.shape) for n, w in network.weights.items()
    }
    # Biases, and scales and shifts of the norms, are what the graph does not count.
    n, a, layers, units = 5, 2, 3, 8
    others = 2 * layers * units * 3 + n
    assert graph.n_weights + others == ofenet_parameters(n, a, layers, units)
    readers = {w.name: sum(s.columns for s in w.segments) for w in feature_readers(agent, ofenet)}
    assert readers == {
        "policy._encoder._layers.0.weight": n + layers * units,
        "q_funcs.0._encoder._layers.0.weight": n + a + 2 * layers * units,
        "q_funcs.1._encoder._layers.0.weight": n + a + 2 * layers * units,
        "value_func._encoder._layers.0.weight": n + layers * units,
    }
    for weight in graph.weights:
        assert sum(s.columns for s in weight.segments) == weight.shape[1]


@pytest.mark.slow
def test_units_that_left_put_out_nothing_to_anybody():
    result = run("td3_plus_bc", "gates(interval=1)", sparsity={"features": 0.8})
    ofenet = find_ofenet(result.algo)
    x = torch.tensor(dataset(DATA).buffer.batch_at(np.arange(16)).observations)
    mask = result.mask.nominal
    found = []
    for number, block in enumerate(ofenet.state_branch.blocks):
        there = mask[f"ofenet.state_branch.blocks.{number}.linear.weight"].any(dim=1)
        block.gate.register_forward_hook(lambda _, __, out: found.append(out))
        ofenet.phi(x)
        assert not found[-1][:, ~there].any()
        assert found[-1][:, there].any()
        found.clear()
    # Whoever read them knows: their columns are pruned, in targets too.
    name = "policy._encoder._layers.0.weight"
    lost = ~mask["ofenet.state_branch.blocks.0.linear.weight"].any(dim=1)
    assert lost.any()
    columns = slice(5, 5 + 8)
    assert not mask[name][:, columns][:, lost].any()
    assert mask[name][:, columns][:, ~lost].all()
    assert result.mask["critic"].sparsity < 0.5


@pytest.mark.slow
def test_the_decision_keeps_the_expected_features():
    """θ of features moves into the weights that read them, in targets too."""
    subject, _ = prune(
        dataset(DATA), "td3_plus_bc", {"features": 0.6}, method="gates(interval=1, end=0.9)",
        n_steps=100, engine="masked", algo_params=params("td3_plus_bc"),
    )  # fmt: skip
    subject.algo.fit(
        dataset(DATA).buffer,
        n_steps=89,
        n_steps_per_epoch=89,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=subject.callback,
    )
    (group,) = subject.method._groups
    group.sparsity = 0.0
    assert any(bool(((p > 0.0) & (p < 1.0)).any()) for p in group.probabilities)
    x = torch.tensor(dataset(DATA).buffer.batch_at(np.arange(16)).observations)
    a = torch.zeros(16, 2)
    modules = subject.algo.impl.modules

    def outputs():
        modules.policy.eval(), modules.targ_q_funcs.eval()
        return modules.policy(x).mu, modules.targ_q_funcs[0](x, a).q_value

    expected = outputs()
    subject.method.after_step(subject, subject.engine, 90)
    for ours, theirs in zip(outputs(), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
def test_a_saved_result_brings_its_features_along(tmp_path):
    result = run("iql", "snip", feature_steps=5)
    result.save(tmp_path / "result")
    loaded = PruneResult.load(tmp_path / "result")
    x = dataset(DATA).buffer.batch_at(np.arange(8)).observations
    np.testing.assert_array_equal(loaded.algo.predict(x), result.algo.predict(x))
    assert loaded.mask == result.mask
    assert find_ofenet(loaded.algo) is not None


@pytest.mark.slow
def test_sac_with_an_ofenet_and_gates_online():
    env = gymnasium.make("Pendulum-v1")
    factory = OFENetEncoderFactory(n_layers=2, units=6, hidden_units=[16, 16])
    config = d3rlpy.algos.SACConfig(
        actor_encoder_factory=factory, critic_encoder_factory=factory, batch_size=16
    )
    buffer = d3rlpy.dataset.create_fifo_replay_buffer(1000, env=env)
    with pytest.raises(InputError, match="buffer"):
        prune_online(env, config, 0.5, n_steps=100, method="gates")
    subject, _ = prune_online(
        env, config, 0.5, n_steps=250, method="gates(interval=1)", buffer=buffer
    )
    subject.algo.fit_online(
        env,
        buffer,
        n_steps=250,
        n_steps_per_epoch=250,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=subject.callback,
    )
    assert len(subject.features.losses) > 30
    mask = subject.finish()
    assert within_budget(mask, 0.5)


def test_what_does_not_go_with_an_ofenet_is_refused():
    with pytest.raises(AlgorithmError, match="small_dense"):
        run("iql", "small_dense")
    with pytest.raises(AlgorithmError, match="SynFlow"):
        run("iql", "synflow")


def test_short_forms():
    agent = build_agent(dataset(DATA), "bcq", algo_params=params("bcq")).agent
    config = agent.algo.config
    assert isinstance(config.actor_encoder_factory, OFENetEncoderFactory)
    assert config.actor_encoder_factory.hidden_units == [24, 24]
    assert config.actor_encoder_factory.units == 8
    assert config.imitator_encoder_factory.hidden_units == [24, 24]
    assert agent.roles == ("actor", "critic[0]", "critic[1]", "imitator", "features")
