"""Methods that prune while d3rlpy trains."""

import itertools

import d3rlpy
import gymnasium
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune import prune, prune_online, prune_then_train, score
from offline_prune.agents import build_agent
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.engines.sparse_mlp import SparseMLP
from offline_prune.errors import InputError
from offline_prune.masks.allocation import erk_densities, kept_count
from offline_prune.masks.schedules import cubic_sparsity
from offline_prune.methods import METHODS
from offline_prune.methods.dynamic_sparse import exchange
from tests.worlds import CASES, agent, dataset, params

WHILE_TRAINING = [n for n, m in METHODS.items() if getattr(m, "while_training", False)]
MAGNITUDE_AND_DYNAMIC = ("gmp", "set", "rigl")


def fit(subject, kind, n_steps, check):
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


def begun(kind, algo, method, n_steps, **options):
    return prune(
        dataset(kind),
        algo,
        0.8,
        method=method,
        n_steps=n_steps,
        algo_params=params(kind, algo),
        **options,
    )


@pytest.mark.parametrize("method", MAGNITUDE_AND_DYNAMIC)
@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_what_the_mask_prunes_is_zero_after_every_step(kind, algo, method):
    subject, _ = begun(kind, algo, f"{method}(interval=2)", 12)
    masks = []

    def check(step):
        mask = subject.method.mask
        masks.append(mask)
        for tensors in (subject.engine.weights(), subject.engine.targets()):
            for name, tensor in tensors.items():
                assert not tensor[~mask.nominal[name]].any(), (step, name)

    fit(subject, kind, 12, check)
    final = subject.finish()
    for network in subject.networks:
        assert final[network.role].n_kept == kept_count(network.n_weights, 0.8)
        for name, weight in network.weights.items():
            assert not weight[~final.connected[name]].any()
    changes = [a != b for a, b in itertools.pairwise(masks)]
    assert any(changes)
    assert not any(changes[9:])  # fixed from 80 % of the run on


def test_gmp_follows_the_cubic_layer_by_layer():
    subject, first = begun("vector-continuous", "iql", "gmp(interval=1)", 50)
    assert first.n_kept == first.n_weights
    final = {}
    for network in subject.networks:
        shapes = {n: tuple(w.shape) for n, w in network.weights.items()}
        final |= erk_densities(shapes, 0.8)

    def check(step):
        for name, kept in subject.method.mask.nominal.items():
            progress = cubic_sparsity(step, 1.0, 10, 40)
            expected = kept.numel() * (1.0 - (1.0 - final[name]) * progress)
            assert abs(int(kept.sum()) - expected) < 2.0, (step, name)

    fit(subject, "vector-continuous", 50, check)
    subject.finish()


def test_gmp_keeps_the_largest_of_what_the_optimizer_made():
    subject, _ = begun("vector-continuous", "bc", "gmp(interval=5)", 40)

    def check(step):
        if subject.method.regrowth == "any_step" and step % 5 == 1:
            mask = subject.method.mask
            grown = subject.engine.unmasked()
            sizes.append(sum(float(grown[n][~k].abs().sum()) for n, k in mask.nominal.items()))

    sizes = []
    fit(subject, "vector-continuous", 40, check)
    assert sizes[-1] > 0.0  # pruned weights are stepped all the same
    subject.finish()


def test_a_pruned_weight_comes_back_with_its_value():
    """One weight is given a gradient so steep that it outgrows the others."""
    subject, _ = begun("vector-continuous", "bc", "gmp(begin=0.0, end=1.0, interval=5)", 1000)
    name = next(iter(subject.weights))
    weight = subject.weights[name]
    batch = dataset("vector-continuous").buffer.sample_transition_batch(16)
    for step in range(1, 1000):
        subject.algo.update(batch)
        subject.callback(subject.algo, 1, step)
        pruned = ~subject.method.mask.nominal[name]
        if pruned.any():
            break
    entry = tuple(pruned.nonzero()[0])
    assert weight[entry] == 0.0
    optimizer = subject.algo.impl.modules.optim.optim
    with torch.no_grad():  # Adam's next step of this entry is its largest ever
        optimizer.state[weight]["exp_avg"][entry] = -1e6
        optimizer.state[weight]["exp_avg_sq"][entry] = 1e-6
    while step % 5 != 4:  # the masks are made at multiples of five
        step += 1
        subject.algo.update(batch)
        with torch.no_grad():
            optimizer.state[weight]["exp_avg"][entry] = -1e6
    assert weight[entry] == 0.0
    step += 1
    subject.algo.update(batch)
    value = subject.engine.unmasked()[name][entry].item()
    assert abs(value) > 1.0
    subject.callback(subject.algo, 1, step)
    assert subject.method.mask.nominal[name][entry]
    assert weight[entry].item() == value
    assert optimizer.state[weight]["exp_avg"][entry] != 0.0


def test_gmp_leaves_moments_alone_until_the_mask_is_fixed():
    subject, _ = begun("vector-continuous", "iql", "gmp(interval=2)", 20)
    weight = next(iter(subject.weights.values()))
    found = []

    def check(step):
        mask = next(iter(subject.method.mask.nominal.values()))
        state = subject.algo.impl.modules.actor_optim.optim.state
        if step == 12:
            found.append(bool(state[weight]["exp_avg"][~mask].any()))

    fit(subject, "vector-continuous", 20, check)
    assert found == [True]
    subject.finish()
    state = subject.algo.impl.modules.actor_optim.optim.state
    gone = ~next(iter(subject.method.mask.connected.values()))
    assert not state[weight]["exp_avg"][gone].any()


@pytest.mark.slow
@pytest.mark.parametrize("method", MAGNITUDE_AND_DYNAMIC)
@pytest.mark.parametrize("algo", ["bc", "iql", "bcq"])
def test_the_compact_engine_follows_and_keeps_the_trajectory(method, algo):
    def run(engine):
        return prune_then_train(
            dataset("vector-continuous"),
            algo,
            0.8,
            method=method,
            n_steps=60,
            engine=engine,
            evaluate=0,
            algo_params=params("vector-continuous", algo),
            progress=False,
        )

    masked, compact = run("masked"), run("auto")
    assert masked.mask == compact.mask
    expected = masked.algo.impl.modules.get_torch_modules()
    for field, module in compact.algo.impl.modules.get_torch_modules().items():
        for name, tensor in module.state_dict().items():
            torch.testing.assert_close(
                tensor, expected[field].state_dict()[name], atol=1e-4, rtol=1e-4, msg=name
            )


@pytest.mark.parametrize(
    ("method", "dense_after"),
    [
        ("gmp", range(1, 16)),  # until the mask is fixed
        ("set(interval=5)", []),  # nothing ever wants a dense gradient
        ("rigl(interval=5)", [4, 9, 14]),  # the next step's gradient is wanted whole
    ],
)
def test_only_steps_whose_gradient_is_wanted_are_dense(method, dense_after):
    subject, _ = begun("vector-continuous", "iql", method, 20, engine="sparse")
    seen = {}

    def check(step):
        seen[step] = not isinstance(subject.algo.impl.modules.policy._encoder, SparseMLP)

    fit(subject, "vector-continuous", 20, check)
    assert [step for step, dense in seen.items() if dense] == list(dense_after)
    subject.finish()


@pytest.mark.slow
@pytest.mark.parametrize("method", WHILE_TRAINING)
def test_the_same_seed_gives_the_same_run(method):
    def run(seed):
        return prune_then_train(
            dataset("vector-continuous"),
            "iql",
            0.7,
            method=method,
            n_steps=30,
            seed=seed,
            evaluate=0,
            algo_params=params("vector-continuous", "iql"),
            progress=False,
        )

    first, again, other = run(1), run(1), run(2)
    assert first.mask == again.mask
    assert first.mask != other.mask
    for a, b in zip(
        first.algo.impl.modules.policy.parameters(),
        again.algo.impl.modules.policy.parameters(),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_exchange_by_hand():
    weight = torch.tensor([[0.5, -0.1, 0.0], [0.3, 0.0, -0.2]])
    kept = torch.tensor([[True, True, False], [True, False, True]])
    growth = torch.tensor([[9.0, 0.1, 0.7], [9.0, 0.9, 0.2]])
    found = exchange(weight, kept, growth, 0.5)  # -0.1 and -0.2 leave
    assert found.tolist() == [[True, False, True], [True, True, False]]
    # What was just dropped may grow again at once.
    growth[0, 1] = 5.0
    assert exchange(weight, kept, growth, 0.25).tolist() == kept.tolist()
    assert exchange(weight, kept, growth, 0.2) is kept


def test_exchange_by_unit_gives_every_unit_back_what_it_lost():
    weight = torch.tensor([[0.5, -0.1, 0.0], [0.3, 0.0, -0.2]])
    kept = torch.tensor([[True, True, False], [True, False, True]])
    growth = torch.tensor([[9.0, 0.1, 0.2], [9.0, 0.9, 0.8]])
    # -0.1 and -0.2 leave; the layer's best growth would be both of the second unit.
    assert exchange(weight, kept, growth, 0.5).tolist() == [[True, False, False], [True] * 3]
    found = exchange(weight, kept, growth, 0.5, by_unit=True)
    assert found.tolist() == [[True, False, True], [True, True, False]]


@given(st.integers(0, 10_000), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=60)
def test_exchange_keeps_the_count_and_the_largest(seed, density, fraction):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn((7, 9), generator=generator)
    kept = torch.rand((7, 9), generator=generator) < density
    weight[~kept] = 0.0
    growth = torch.rand((7, 9), generator=generator)
    found = exchange(weight, kept, growth, fraction)
    by_unit = exchange(weight, kept, growth, fraction, by_unit=True)
    assert by_unit.sum(dim=1).tolist() == kept.sum(dim=1).tolist()
    n = int(kept.sum())
    assert int(found.sum()) == n
    stays = n - int(fraction * n)
    if stays:
        largest = weight.abs().flatten().topk(stays).indices
        assert found.flatten()[largest].all()


def test_rigl_grows_where_the_gradient_is_steepest():
    subject, first = begun("vector-continuous", "bc", "rigl(interval=3, fraction=0.3)", 8)
    batch = dataset("vector-continuous").buffer.sample_transition_batch(16)
    for step in (1, 2):
        subject.algo.update(batch)
        subject.callback(subject.algo, 1, step)
    assert subject.method.mask == first
    # The dense gradient of the next update, by d3rlpy's own loss.
    impl = subject.algo.impl
    x, a = (torch.tensor(t) for t in (batch.observations, batch.actions))
    x = subject.algo.observation_scaler.transform(x) if subject.algo.observation_scaler else x
    loss = impl.compute_loss(x, a).loss
    names = list(subject.weights)
    expected = dict(
        zip(names, torch.autograd.grad(loss, list(subject.weights.values())), strict=True)
    )
    subject.algo.update(batch)
    for name, gradient in subject.engine.gradients().items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)
    subject.callback(subject.algo, 1, 3)
    mask = subject.method.mask
    for name in names:
        came = mask.nominal[name] & ~first.nominal[name]
        stayed_out = ~mask.nominal[name] & ~first.nominal[name]
        if came.any() and stayed_out.any():
            assert expected[name][came].abs().min() >= expected[name][stayed_out].abs().max()
        assert not subject.weights[name][came].any()  # what grows starts at 0
    assert mask != first


@pytest.mark.slow
@pytest.mark.parametrize("interval", [2, 3])
def test_rigl_waits_for_the_gradient_of_a_delayed_actor(interval):
    """TD3's actor takes every second step: at an even interval never the exchange's own."""
    kind = "vector-continuous"
    data = dataset(kind)
    subject, first = prune(
        data,
        "td3_plus_bc",
        0.9,
        method=f"rigl(interval={interval}, fraction=0.5)",
        n_steps=400,
        engine="masked",
        algo_params={"hidden_units": [64, 64], "batch_size": 16},
    )
    name = next(n for n, w in subject.networks[0].weights.items() if w.shape == (64, 64))
    batch = data.buffer.sample_transition_batch(16)
    seen = []
    for step in range(1, 121):
        subject.algo.update(batch)
        before = subject.method.mask
        gradient = subject.engine.gradients().get(name)
        subject.callback(subject.algo, 1, step)
        after = subject.method.mask
        if not torch.equal(before.nominal[name], after.nominal[name]):
            assert gradient is not None
            assert gradient.any()
            seen.append(step)
    assert len(seen) > 120 / interval / 3
    kept = subject.method.mask.nominal[name]
    assert int(kept.sum()) == int(first.nominal[name].sum())
    assert float(kept[:2].sum() / kept.sum()) < 0.15  # 2 of 64 rows


def test_set_grows_at_random():
    (one, _), (other, _) = (
        begun("vector-continuous", "bc", "set(interval=1)", 4, seed=seed) for seed in (0, 1)
    )
    for subject in (one, other):
        fit(subject, "vector-continuous", 2, lambda step: None)
    assert one.method.mask != other.method.mask


def test_dynamic_methods_keep_layer_densities():
    subject, first = begun("vector-continuous", "cql", "rigl(interval=1)", 10)
    counts = {name: int(k.sum()) for name, k in first.nominal.items()}

    def check(step):
        found = {name: int(k.sum()) for name, k in subject.method.mask.nominal.items()}
        assert found == counts

    fit(subject, "vector-continuous", 10, check)
    subject.finish()


def test_given_and_global_allocations_of_gmp():
    subject = agent("vector-continuous", "bc")
    for allocation in ("global", "uniform"):
        result = prune_then_train(
            dataset("vector-continuous"),
            "bc",
            0.75,
            method="gmp",
            allocation=allocation,
            n_steps=20,
            evaluate=0,
            algo_params=params("vector-continuous", "bc"),
            progress=False,
        )
        network = subject.networks[0]
        assert result.mask.n_kept == kept_count(network.n_weights, 0.75)
        densities = result.mask["actor"].layer_densities.values()
        uniform = all(abs(d - 0.25) < 0.02 for d in densities)
        assert uniform == (allocation == "uniform")


@pytest.mark.parametrize("method", MAGNITUDE_AND_DYNAMIC)
@pytest.mark.parametrize(
    ("allocation", "kind"),
    [("floor(fan_in=2)", "vector-continuous"), ("constant_fan_in", "vector-continuous"),
     ("constant_fan_in(layers=global)", "pixel-discrete")],
)  # fmt: skip
def test_floors_and_fan_ins_hold_at_every_mask(method, allocation, kind):
    subject, first = begun(kind, "bc", method, 40, allocation=allocation)
    seen = [first]

    def check(step):
        found = subject.method.mask
        if found is not seen[-1]:
            seen.append(found)
        for kept in found.nominal.values():
            counts = kept.flatten(1).sum(dim=1)
            if allocation.startswith("floor"):
                assert counts.sum() >= 2 * len(counts)
            else:
                assert counts.max() - counts.min() <= 1

    fit(subject, kind, 40, check)
    mask = subject.finish()
    assert len(seen) > 3
    assert any(seen[-1].nominal[n].ne(seen[1].nominal[n]).any() for n in mask.nominal)
    for network in subject.networks:
        assert mask[network.role].n_kept == kept_count(network.n_weights, 0.8)


@pytest.mark.slow
@pytest.mark.parametrize("method", MAGNITUDE_AND_DYNAMIC)
@pytest.mark.parametrize("config", [d3rlpy.algos.DQNConfig, d3rlpy.algos.DoubleDQNConfig])
def test_online_value_networks(method, config):
    env = gymnasium.make("CartPole-v1")
    agent_, _ = prune_online(env, config(batch_size=8), 0.8, n_steps=120, method=method)
    agent_.algo.fit_online(
        env,
        n_steps=120,
        n_steps_per_epoch=60,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=agent_.callback,
    )
    mask = agent_.finish()
    (network,) = agent_.networks
    assert mask.n_kept == kept_count(network.n_weights, 0.8)
    for name, weight in network.weights.items():
        assert not weight[~mask.connected[name]].any()


@pytest.mark.slow
@pytest.mark.parametrize("config", [d3rlpy.algos.SACConfig, d3rlpy.algos.TD3Config])
def test_online_actor_critics(config):
    env = gymnasium.make("Pendulum-v1")
    agent_, _ = prune_online(env, config(batch_size=8), {"actor": 0.9}, n_steps=60)
    agent_.algo.fit_online(
        env,
        n_steps=60,
        n_steps_per_epoch=60,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=agent_.callback,
    )
    mask = agent_.finish()
    assert mask["actor"].sparsity == pytest.approx(0.9, abs=1e-3)
    assert mask["critic[0]"].sparsity == 0.0


@pytest.mark.slow
def test_images_online():
    env = gymnasium.make("offline_prune/MinAtar-Breakout-v0")
    config = d3rlpy.algos.DQNConfig(
        encoder_factory=ImpalaEncoderFactory(filters=[4, 4], feature_size=16),
        observation_scaler=d3rlpy.preprocessing.PixelObservationScaler(),
        batch_size=8,
    )
    subject, _ = prune_online(env, config, 0.9, n_steps=60, method="gmp")
    subject.algo.fit_online(
        env,
        n_steps=60,
        n_steps_per_epoch=60,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=subject.callback,
    )
    mask = subject.finish()
    assert mask.n_kept == kept_count(mask.n_weights, 0.9)


def test_wrong_requests_are_refused():
    data, small = dataset("vector-continuous"), params("vector-continuous", "bc")
    env = gymnasium.make("Pendulum-v1")

    def run(**options):
        prune_then_train(data, "bc", 0.5, n_steps=5, evaluate=0, algo_params=small,
                         progress=False, **options)  # fmt: skip

    for method in ("gmp(begin=0.9)", "gmp(interval=0)", "rigl(fraction=2.0)", "set(end=-1.0)"):
        with pytest.raises(InputError):
            run(method=method)
    for method in MAGNITUDE_AND_DYNAMIC:
        with pytest.raises(InputError, match="refill"):
            run(method=method, refill=True)
        with pytest.raises(InputError, match="prunes while training"):
            run(method=f"shuffled({method})")
        with pytest.raises(InputError, match="prunes while training"):
            run(method=method, rescale=True)
        with pytest.raises(InputError, match="prune_then_train"):
            score(data, "bc", 0.5, method=method, algo_params=small)
    with pytest.raises(InputError, match="Pass dataset"):
        prune_online(env, d3rlpy.algos.SACConfig(), 0.5, n_steps=10, method="snip")
    with pytest.raises(InputError, match="n_steps"):
        prune_online(env, d3rlpy.algos.SACConfig(), 0.5, n_steps=0)
    with pytest.raises(InputError, match="d3rlpy config"):
        prune_online(env, "sac", 0.5, n_steps=10)


def test_an_interrupted_run_lets_go_of_the_agent():
    data = dataset("vector-continuous")
    built = build_agent(data, "bc", algo_params=params("vector-continuous", "bc")).agent

    def stop(algo, epoch, step):
        if step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune_then_train(data, built.algo, 0.9, method="gmp", n_steps=10, evaluate=0,
                         callback=stop, progress=False)  # fmt: skip
    for weight in built.weights.values():
        assert not weight._post_accumulate_grad_hooks
    hooks = built.algo.impl.modules.optim.optim._optimizer_step_post_hooks
    assert not hooks


def test_cuda_graphs_are_refused(monkeypatch):
    built = agent("vector-continuous", "bc").algo
    monkeypatch.setattr(type(built), "compiled", True)  # as on a GPU with compile_graph=True
    with pytest.raises(InputError, match="compile_graph"):
        prune_then_train(dataset("vector-continuous"), built, 0.5, method="gmp", n_steps=5,
                         evaluate=0, progress=False)  # fmt: skip


@pytest.mark.parametrize("method", ["gmp", "structured"])
def test_the_last_mask_comes_at_the_end_whatever_the_interval(method):
    """Of 20 steps the window is 4 to 16; masks are due at 4, 9, 14 and 16."""
    subject, _ = begun("vector-continuous", "bc", f"{method}(interval=5)", 20)
    assert [step for step in range(1, 21) if subject.method.is_due(step)] == [4, 9, 14, 16]
