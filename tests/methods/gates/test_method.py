"""Bernoulli gates around d3rlpy's training."""

import functools

import d3rlpy
import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory

from offline_prune import Agent, prune, prune_online, prune_then_train
from offline_prune.agents.units import chain_units, merge_units
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.masks.allocation import kept_count
from tests.worlds import CASES, agent, dataset, params, within_budget

FAST = "gates(interval=1)"


def begun(kind, algo, n_steps=40, method=FAST, sparsity=0.8, **options):
    return prune(
        dataset(kind),
        algo,
        sparsity,
        method=method,
        n_steps=n_steps,
        algo_params=params(kind, algo),
        **options,
    )[0]


def fit(subject, kind, n_steps, check=lambda step: None):
    def callback(algo, epoch, step):
        subject.callback(algo, epoch, step)
        check(step)

    subject.algo.fit(
        dataset(kind).buffer,
        n_steps=n_steps,
        n_steps_per_epoch=n_steps,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=callback,
    )


def units_of(mask):
    return {name: kept.flatten(1).any(dim=1) for name, kept in mask.nominal.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_whole_units_leave_and_the_budget_holds(kind, algo):
    subject = begun(kind, algo)
    fit(subject, kind, 40)
    final = subject.finish()
    asked = {role: kept_count(net.n_weights, 0.8) for role, net in zip(
        subject.roles, subject.networks, strict=True)}  # fmt: skip
    shared = algo == "bcq" and "discrete" in kind  # one encoder, one budget
    if shared:
        assert final.n_kept <= sum(asked.values())
    else:
        for role, kept in asked.items():
            assert final[role].n_kept <= kept
    # Every kept weight joins two kept units: what is left is a smaller dense network.
    graph = merge_units(chain_units(chain) for chain in subject.chains)
    units = units_of(final)
    expected = graph.kept_weights([units[layer.name] for layer in graph.layers])
    assert all(torch.equal(final.nominal[name], kept) for name, kept in expected.items())
    for name, weight in subject.weights.items():
        assert not weight[~final.nominal[name]].any()
        if name in subject.targets:
            assert not subject.targets[name][~final.nominal[name]].any()


@functools.cache
def sixty_steps(algo, engine):
    """The final mask, the agent and how many parameters it had after each step."""
    subject = begun("vector-continuous", algo, 60, engine=engine)
    sizes = []

    def check(step):
        modules = subject.algo.impl.modules.get_torch_modules().values()
        sizes.append(sum(p.numel() for module in modules for p in module.parameters()))

    fit(subject, "vector-continuous", 60, check)
    return subject.finish(), subject, sizes


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "compact"])
@pytest.mark.parametrize("algo", ["bc", "iql", "cql", "bcq", "td3_plus_bc"])
def test_the_compact_engine_takes_units_out_and_keeps_the_trajectory(algo, engine):
    mask, one, masked_sizes = sixty_steps(algo, "masked")
    same, other, sizes = sixty_steps(algo, engine)
    assert len(set(masked_sizes)) == 1
    assert len(set(sizes)) > 3  # units leave one after another, not only at the end
    assert sizes == sorted(sizes, reverse=True)
    assert mask == same
    for name, weight in one.weights.items():
        # Rounding grows with the steps, CQL's most.
        torch.testing.assert_close(other.weights[name], weight, atol=2e-3, rtol=1e-2)


@pytest.mark.slow
def test_nothing_is_sampled_outside_a_training_forward_pass():
    """predict and bootstrap targets see the expected network: the same every time."""
    subject = begun("vector-continuous", "iql", 200)
    fit(subject, "vector-continuous", 120)
    theta = subject.method.probabilities
    assert any(bool(((p > 0.0) & (p < 1.0)).any()) for p in theta.values())
    x = dataset("vector-continuous").buffer.batch_at(np.arange(16)).observations
    first = subject.algo.predict(x)
    np.testing.assert_array_equal(first, subject.algo.predict(x))
    value = subject.algo.impl.modules.value_func
    x = torch.tensor(x)
    value.train()
    sampled = [value(x).detach() for _ in range(2)]
    assert not torch.equal(*sampled)
    with torch.no_grad():
        assert torch.equal(value(x), value(x))


@pytest.mark.slow
def test_the_decision_keeps_the_expected_network():
    """θ moves into the weights: before and after, the same function on the units kept."""
    subject = begun("vector-continuous", "iql", 100, engine="masked", method="gates(end=0.9)")
    fit(subject, "vector-continuous", 89)
    method = subject.method
    keep = {name: p > 0 for name, p in method.probabilities.items()}
    for group in method._groups:  # make the decision one that drops nobody
        group.sparsity = 0.0
    x = torch.tensor(dataset("vector-continuous").buffer.batch_at(np.arange(16)).observations)
    modules = subject.algo.impl.modules
    modules.policy.eval(), modules.targ_q_funcs.eval()
    a = torch.zeros(16, 2)
    expected = modules.policy(x).mu, modules.targ_q_funcs[0](x, a).q_value
    subject.callback(subject.algo, 1, 90)
    found = modules.policy(x).mu, modules.targ_q_funcs[0](x, a).q_value
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    units = units_of(method.mask)
    assert all(torch.equal(units[name], there) for name, there in keep.items())


@pytest.mark.slow
def test_a_run_that_stops_early_is_decided_then():
    subject = begun("vector-continuous", "iql", 100)
    fit(subject, "vector-continuous", 50)
    theta = subject.method.probabilities
    assert any(bool(((p > 0.0) & (p < 1.0)).any()) for p in theta.values())
    mask = subject.finish()
    assert within_budget(mask, 0.8)
    for name, weight in subject.weights.items():
        assert not weight[~mask.nominal[name]].any()
        assert weight[mask.connected[name]].any()
    for module in subject.algo.impl.modules.get_torch_modules().values():
        assert not any(part._forward_pre_hooks for part in module.modules())


def test_a_critics_gates_learn_from_the_critics_loss_alone():
    """An actor's loss runs through the critics; it must not move their probabilities."""
    subject = begun("vector-continuous", "iql", 1000)
    impl = subject.algo.impl
    subject.algo.update(dataset("vector-continuous").buffer.sample_transition_batch(16))
    received = [
        (group.graph.layers[0].name, group.n_received, group.received)
        for group in subject.method._groups
    ]
    assert {name.split(".")[0]: n for name, n, _ in received} == {
        "policy": 1, "q_funcs": 1, "value_func": 1}  # fmt: skip
    assert len(received) == 4
    assert all(bool(total[0].any()) for _, _, total in received)
    for group in subject.method._groups:
        assert all(layer.probability.grad is None for layer in group.layers)
    assert impl.modules.q_funcs[0]._fc.weight.requires_grad


@pytest.mark.slow
def test_useless_units_leave_first():
    """Units whose outgoing weights are zero and stay so carry nothing."""
    subject = begun("vector-continuous", "bc", 300, engine="masked", sparsity=0.4)
    module = subject.algo.impl.modules.imitator._encoder._layers[2]
    with torch.no_grad():
        module.weight[:, :8] = 0.0
    module.weight.register_hook(
        lambda gradient: gradient * (torch.arange(24) >= 8)[None, :].float()
    )
    fit(subject, "vector-continuous", 300)
    final = subject.finish()
    first = units_of(final)[next(iter(subject.weights))]
    assert int(first[:8].sum()) < int(first[8:].sum()) / 2
    assert not first[:8].all()


def test_a_given_cost_prunes_what_does_not_pay_and_no_more_than_asked():
    free = prune_then_train(
        dataset("vector-continuous"),
        "bc",
        0.5,
        method="gates(cost=0.0, interval=1)",
        n_steps=40,
        evaluate=0,
        algo_params=params("vector-continuous", "bc"),
        progress=False,
    )
    dear = prune_then_train(
        dataset("vector-continuous"),
        "bc",
        0.5,
        method="gates(cost=10.0, interval=1)",
        n_steps=40,
        evaluate=0,
        algo_params=params("vector-continuous", "bc"),
        progress=False,
    )
    assert free.mask.sparsity < 0.48 < dear.mask.sparsity < 0.6


def test_only_the_networks_asked_for_are_gated():
    subject = begun("vector-continuous", "iql", sparsity={"actor": 0.8})
    fit(subject, "vector-continuous", 40)
    final = subject.finish()
    assert final["actor"].sparsity >= 0.79
    assert final["critic"].sparsity == final["value"].sparsity == 0.0


@pytest.mark.slow
def test_a_file_saved_after_the_run_opens_and_predicts_the_same(tmp_path):
    subject = begun("vector-continuous", "cql")
    fit(subject, "vector-continuous", 40)
    subject.finish()
    subject.algo.save(str(tmp_path / "agent.d3"))
    x = dataset("vector-continuous").buffer.batch_at(np.arange(8)).observations
    loaded = d3rlpy.load_learnable(str(tmp_path / "agent.d3"))
    np.testing.assert_array_equal(loaded.predict(x), subject.algo.predict(x))


def test_an_interrupted_run_takes_the_gates_away():
    built = agent("vector-continuous", "iql")

    def stop(algo, epoch, step):
        if step == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune_then_train(dataset("vector-continuous"), built.algo, 0.9, method=FAST, n_steps=20,
                         evaluate=0, callback=stop, progress=False)  # fmt: skip
    for module in built.algo.impl.modules.get_torch_modules().values():
        for part in module.modules():
            assert not part._forward_pre_hooks


@pytest.mark.slow
def test_online_actor_critic():
    env = gymnasium.make("Pendulum-v1")
    config = d3rlpy.algos.SACConfig(batch_size=16)
    subject, _ = prune_online(env, config, 0.9, n_steps=80, method=FAST)
    subject.algo.fit_online(
        env,
        n_steps=80,
        n_steps_per_epoch=80,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=subject.callback,
    )
    mask = subject.finish()
    assert within_budget(mask, 0.9)
    assert Agent.of(subject.algo).weights.keys() == subject.weights.keys()


def test_wrong_requests_are_refused():
    data = dataset("vector-continuous")
    for method in ("gates(tolerance=0.7)", "gates(cost=-1.0)", "gates(begin=0.9, end=0.1)",
                   "gates(interval=0)"):  # fmt: skip
        with pytest.raises(InputError):
            prune(data, "bc", 0.5, method=method, n_steps=10)
    factory = d3rlpy.models.SimBaEncoderFactory()
    config = d3rlpy.algos.BCConfig(encoder_factory=factory)
    with pytest.raises(AlgorithmError, match="units"):
        prune(data, config, 0.5, method="gates", n_steps=10)
