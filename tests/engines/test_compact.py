import copy

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import SimBaEncoderFactory, VectorEncoderFactory

from offline_prune import Agent, CompactEngine, prune
from offline_prune.agents import build_agent
from offline_prune.engines import forms, make_engine, sparse_mlp
from offline_prune.engines.sparse_mlp import SparseMLP
from offline_prune.errors import AlgorithmError, EngineError, MaskError, UnknownNameError
from offline_prune.masks.build import mask_from_kept
from offline_prune.masks.live import live_units
from tests.worlds import agent, dataset

VECTOR = "vector-continuous"
KERNELS = ("dense", "sparse")


def random_mask(subject, density=0.1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    kept = {
        n: torch.rand(w.shape, generator=generator) < density for n, w in subject.weights.items()
    }
    return mask_from_kept(subject, kept)


def held(algo="iql", kernels="sparse", kind=VECTOR):
    subject = agent(kind, algo)
    engine = CompactEngine(subject, kernels)
    engine.attach(random_mask(subject))
    return subject, engine


def step(subject, kind=VECTOR):
    return subject.algo.update(dataset(kind).buffer.sample_transition_batch(16))


def modules(subject):
    return subject.algo.impl.modules.get_torch_modules()


def sparse_forms(subject):
    return [m for top in modules(subject).values() for m in top.modules() if type(m) is SparseMLP]


def n_trained(subject):
    return sum(p.numel() for top in modules(subject).values() for p in top.parameters())


@pytest.mark.parametrize("kernels", KERNELS)
def test_networks_are_small_while_held_and_whole_afterwards(kernels):
    subject = agent(VECTOR, "iql")
    tops = {id(m) for top in modules(subject).values() for m in top.modules()}
    parameters = [p for top in modules(subject).values() for p in top.parameters()]
    sizes = n_trained(subject)
    engine = CompactEngine(subject, kernels)
    mask = random_mask(subject)
    engine.attach(mask)
    assert engine.mask == mask
    assert n_trained(subject) < (0.3 if kernels == "sparse" else 0.8) * sizes
    assert bool(sparse_forms(subject)) == (kernels == "sparse")
    for _ in range(3):
        step(subject)
    engine.detach()
    assert engine.mask is None
    assert {id(m) for top in modules(subject).values() for m in top.modules()} == tops
    restored = [p for top in modules(subject).values() for p in top.parameters()]
    assert all(a is b for a, b in zip(parameters, restored, strict=True))
    for top in modules(subject).values():
        for module in top.modules():
            if isinstance(module, torch.nn.Linear):
                assert module.weight.shape == (module.out_features, module.in_features)
            assert not module._state_dict_hooks
            assert not module._load_state_dict_pre_hooks


@pytest.mark.parametrize("kernels", KERNELS)
def test_weights_are_current_while_held(kernels):
    subject, engine = held(kernels=kernels)
    before = {n: w.clone() for n, w in engine.weights().items()}
    targets = {n: w.clone() for n, w in engine.targets().items()}
    step(subject)
    current, moved = engine.weights(), engine.targets()
    assert any(not torch.equal(before[n], w) for n, w in current.items())
    assert any(not torch.equal(targets[n], w) for n, w in moved.items())
    engine.detach()
    for name, weight in subject.weights.items():
        assert torch.equal(weight, current[name])
    for name, weight in subject.targets.items():
        assert torch.equal(weight, moved[name])


@pytest.mark.parametrize("kernels", KERNELS)
def test_training_goes_on_after_detach_with_the_moments(kernels):
    """Detach and attach in the middle change nothing."""
    subject, engine = held(kernels=kernels)
    other, uninterrupted = held(kernels=kernels)
    batches = [dataset(VECTOR).buffer.batch_at(np.arange(i, i + 16)) for i in range(6)]
    for i, batch in enumerate(batches):
        torch.manual_seed(i)
        subject.algo.update(batch)
        torch.manual_seed(i)
        other.algo.update(batch)
        if i == 2:
            engine.update(engine.mask)
    engine.verify()
    expected = uninterrupted.weights()
    for name, weight in engine.weights().items():
        assert torch.equal(weight, expected[name])


def test_another_mask_can_be_held():
    subject, engine = held()
    step(subject)
    mask = random_mask(subject, 0.05, seed=1)
    engine.update(mask)
    step(subject)
    engine.verify()
    for name, weight in engine.weights().items():
        assert not weight[~mask.connected[name]].any()


def test_verify_without_a_mask():
    with pytest.raises(MaskError, match="attach"):
        CompactEngine(agent(VECTOR, "bc")).verify()


def test_two_masks_at_once_are_refused():
    _, engine = held()
    with pytest.raises(MaskError, match="update"):
        engine.attach(engine.mask)


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_foreign_mask_is_refused_and_the_old_one_held(kernels):
    subject, engine = held(kernels=kernels)
    foreign = random_mask(agent(VECTOR, "bc"))
    with pytest.raises(MaskError, match="does not fit"):
        engine.update(foreign)
    step(subject)
    engine.verify()


@pytest.mark.parametrize("kernels", KERNELS)
def test_verify_notices_rebuilt_networks(kernels):
    subject, engine = held(kernels=kernels)
    subject.algo.create_impl((5,), 2)
    with pytest.raises(MaskError, match="anew"):
        engine.verify()


def test_verify_notices_lost_hooks():
    subject, engine = held(kernels="dense")
    hooked = [
        p
        for top in modules(subject).values()
        for p in top.parameters()
        if p._post_accumulate_grad_hooks
    ]
    assert hooked
    hooked[0]._post_accumulate_grad_hooks.clear()
    with pytest.raises(MaskError, match="hook"):
        engine.verify()


def test_verify_notices_overwritten_weights():
    subject, engine = held(kernels="dense")
    with torch.no_grad():
        modules(subject)["targ_q_funcs"][0]._encoder._layers[2].weight.fill_(1.0)
    with pytest.raises(MaskError, match="not zero"):
        engine.verify()


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_copy_of_a_held_agent_is_an_agent_of_its_own(kernels):
    subject, engine = held(kernels=kernels)
    clone = copy.deepcopy(subject.algo)
    before = {n: t.clone() for n, t in clone.impl.modules.policy.state_dict().items()}
    step(subject)
    after = clone.impl.modules.policy.state_dict()
    assert all(torch.equal(before[n], t) for n, t in after.items())
    engine.detach()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kernels", KERNELS)
def test_policies_are_exported_while_held(kernels, tmp_path):
    subject, _ = held("bc", kernels)
    subject.algo.save_policy(str(tmp_path / "policy.pt"))
    policy = torch.jit.load(str(tmp_path / "policy.pt"))
    x = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)
    np.testing.assert_allclose(policy(torch.tensor(x)), subject.algo.predict(x), atol=1e-6)


def test_a_sparse_agent_cannot_be_looked_into():
    subject, _ = held("bc")
    with pytest.raises(AlgorithmError, match="detach"):
        Agent.of(subject.algo)


OPTIMIZERS = {
    "adam": d3rlpy.optimizers.AdamFactory(weight_decay=1e-2, clip_grad_norm=0.1),
    "amsgrad": d3rlpy.optimizers.AdamFactory(amsgrad=True),
    "adamw": d3rlpy.optimizers.AdamWFactory(weight_decay=1e-2),
    "sgd": d3rlpy.optimizers.SGDFactory(momentum=0.9),
    "rmsprop": d3rlpy.optimizers.RMSpropFactory(),
    "decay of weights only": d3rlpy.optimizers.GPTAdamWFactory(weight_decay=1e-2),
    "schedule": d3rlpy.optimizers.AdamFactory(
        lr_scheduler_factory=d3rlpy.optimizers.CosineAnnealingLRFactory(T_max=20)
    ),
}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_takes_the_same_steps(optimizer, kernels):
    def run(engine):
        config = d3rlpy.algos.TD3PlusBCConfig(
            batch_size=16,
            actor_optim_factory=OPTIMIZERS[optimizer],
            critic_optim_factory=OPTIMIZERS[optimizer],
            actor_encoder_factory=VectorEncoderFactory([24, 24]),
            critic_encoder_factory=VectorEncoderFactory([24, 24]),
        )
        subject = build_agent(dataset(VECTOR), config).agent
        holding = make_engine(engine, subject)
        holding.attach(random_mask(subject))
        if engine == "sparse":
            expected = optimizer != "decay of weights only"
            assert bool(sparse_forms(subject)) == expected
        for i in range(40):
            torch.manual_seed(i)
            subject.algo.update(dataset(VECTOR).buffer.batch_at(np.arange(i, i + 16)))
        holding.verify()
        holding.detach()
        return subject

    expected, found = run("masked"), run("compact" if kernels == "dense" else "sparse")
    for field, module in modules(expected).items():
        theirs = modules(found)[field].state_dict()
        for name, tensor in module.state_dict().items():
            torch.testing.assert_close(theirs[name], tensor, atol=1e-5, rtol=1e-4)
    for field in ("actor_optim", "critic_optim"):
        pair = [getattr(s.algo.impl.modules, field).optim for s in (expected, found)]
        first, second = (optim.param_groups for optim in pair)
        for ours, theirs in zip(first, second, strict=True):
            assert {k: v for k, v in ours.items() if k != "params"} == {
                k: v for k, v in theirs.items() if k != "params"
            }
            assert len(ours["params"]) == len(theirs["params"])


def test_batch_normalised_networks_are_held():
    encoder = VectorEncoderFactory([24, 24], use_batch_norm=True)
    config = d3rlpy.algos.TD3PlusBCConfig(
        batch_size=16, actor_encoder_factory=encoder, critic_encoder_factory=encoder
    )
    subject, mask = prune(dataset(VECTOR), config, 0.9, n_batches=1)
    for _ in range(3):
        step(subject)
        subject.engine.verify()
    for name, weight in subject.weights.items():
        assert not weight[~mask.connected[name]].any()


@pytest.mark.parametrize("activation", ["tanh", "gelu", "swish"])
def test_other_activations_are_trained_as_dense_layers_of_the_live_size_too(activation):
    encoder = VectorEncoderFactory([24, 24], activation=activation)
    config = d3rlpy.algos.BCConfig(batch_size=16, encoder_factory=encoder)
    subject = build_agent(dataset(VECTOR), config).agent
    engine = CompactEngine(subject, "dense")
    size = n_trained(subject)
    x = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    mask = random_mask(subject)
    masked = build_agent(dataset(VECTOR), config).agent
    make_engine("masked", masked).attach(mask)
    engine.attach(mask)
    assert not sparse_forms(subject)
    assert n_trained(subject) < 0.8 * size
    np.testing.assert_allclose(subject.algo.predict(x), masked.algo.predict(x), atol=1e-6)


SPARSE_ENCODERS = {
    "layer norm": VectorEncoderFactory([24, 24], use_layer_norm=True),
    "layer norm, tanh": VectorEncoderFactory([24, 24], activation="tanh", use_layer_norm=True),
    "tanh": VectorEncoderFactory([24, 24], activation="tanh"),
    "swish": VectorEncoderFactory([24, 24], activation="swish"),
    "gelu": VectorEncoderFactory([24, 24], activation="gelu"),
    "simba": SimBaEncoderFactory(feature_size=16, hidden_size=24, n_blocks=2),
}


@pytest.mark.parametrize("encoder", SPARSE_ENCODERS)
@pytest.mark.parametrize("keep_units", [False, True])
def test_the_sparse_kernels_train_what_layers_of_their_kind_train(encoder, keep_units):
    factory = SPARSE_ENCODERS[encoder]
    config = d3rlpy.algos.TD3PlusBCConfig(
        batch_size=16, actor_encoder_factory=factory, critic_encoder_factory=factory
    )

    def run(kernels):
        subject = build_agent(dataset(VECTOR), config).agent
        mask = random_mask(subject)
        engine = CompactEngine(subject, kernels, keep_units=keep_units)
        engine.attach(mask)
        # Two policies, and their targets and those of two critics.
        assert len(sparse_forms(subject)) == (6 if kernels == "sparse" else 0)
        for i in range(30):
            torch.manual_seed(i)
            subject.algo.update(dataset(VECTOR).buffer.batch_at(np.arange(i, i + 16)))
        engine.verify()
        before = {n: w.clone() for n, w in engine.weights().items()}
        saved = subject.algo.impl.policy.state_dict()
        engine.detach()
        assert all(torch.equal(before[n], w) for n, w in subject.weights.items())
        found = subject.algo.impl.policy.state_dict()
        assert list(saved) == list(found)
        assert all(torch.equal(saved[name], found[name]) for name in found)
        return subject

    expected, found = run("dense"), run("sparse")
    for field, module in modules(expected).items():
        theirs = modules(found)[field].state_dict()
        for name, tensor in module.state_dict().items():
            torch.testing.assert_close(theirs[name], tensor, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (
            VectorEncoderFactory([24, 24], use_batch_norm=True),
            "dense: the sparse kernels do not know BatchNorm1d",
        ),
        (
            VectorEncoderFactory([24, 24], dropout_rate=0.1),
            "masked: the sparse kernels do not know Dropout,"
            " and dropout draws numbers for all of its units",
        ),
    ],
    ids=["batch norm", "dropout"],
)
def test_what_the_kernels_do_not_know_is_trained_in_layers(factory, said):
    config = d3rlpy.algos.BCConfig(batch_size=16, encoder_factory=factory)
    subject = build_agent(dataset(VECTOR), config).agent
    engine = CompactEngine(subject, "sparse")
    engine.attach(random_mask(subject))
    assert not sparse_forms(subject)
    assert str(engine.forms["actor"]) == said
    for _ in range(3):
        step(subject)
    engine.verify()


def test_engines_say_in_which_form_they_train_and_why():
    def said(engine, algo="bc", kind=VECTOR, density=0.1):
        subject = agent(kind, algo)
        holding = make_engine(engine, subject)
        holding.attach(random_mask(subject, density))
        return {role: str(choice) for role, choice in holding.forms.items()}

    assert said("auto", "td3_plus_bc") == dict.fromkeys(
        ("actor", "critic[0]", "critic[1]"), "sparse"
    )
    assert said("masked") == {"actor": "masked: this engine trains the original layers"}
    assert said("compact") == {"actor": "dense: dense layers were asked for"}
    assert said("auto", density=0.9) == {
        "actor": "masked: 75% of what is alive or more is kept, and none of its units is dead"
    }
    assert said("auto", density=1.1) == {"actor": "masked: nothing of it is pruned"}
    (pixels,) = said("auto", kind="pixel-continuous").values()
    assert pixels == "dense: the sparse kernels do not know PixelEncoder"


def test_networks_of_unknown_wiring_say_so():
    config = d3rlpy.algos.TD3PlusBCConfig(
        batch_size=16, q_func_factory=d3rlpy.models.IQNQFunctionFactory()
    )
    subject = build_agent(dataset(VECTOR), config).agent
    engine = make_engine("auto", subject)
    engine.attach(random_mask(subject))
    assert str(engine.forms["critic[0]"]) == (
        "masked: the wiring of ContinuousIQNQFunction with its encoder is not known"
    )
    assert str(engine.forms["actor"]) == "sparse"


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_network_without_any_path_is_held(kernels):
    subject = agent(VECTOR, "td3_plus_bc")
    engine = CompactEngine(subject, kernels)
    kept = {n: torch.zeros(w.shape, dtype=torch.bool) for n, w in subject.weights.items()}
    engine.attach(mask_from_kept(subject, kept))
    for _ in range(3):
        step(subject)
    engine.verify()
    engine.detach()
    assert not any(weight.any() for weight in subject.weights.values())


def form(density, kernels="auto", width=24):
    config = d3rlpy.algos.BCConfig(encoder_factory=VectorEncoderFactory([width, width]))
    subject = build_agent(dataset(VECTOR), config).agent
    mask = random_mask(subject, density)
    live = live_units(subject.chains, mask.connected)
    (network,) = forms.wired_networks(subject)
    return forms.choose_form(network, live, mask.connected, subject, kernels).form


def test_auto_trains_kept_weights_only_where_few_are_left(monkeypatch):
    assert form(0.1) == "sparse"
    assert form(0.1, "dense") == "dense"
    assert form(0.9) == "masked"  # too dense for sparse kernels, and nothing is dead
    assert form(0.9, "sparse") == "sparse"
    assert form(1.1, "sparse") == "masked"  # nothing is pruned: stock d3rlpy
    monkeypatch.setattr(forms, "kernels_available", lambda: False)
    assert form(0.1) == "dense"


@pytest.mark.parametrize(("width", "density"), [(24, 0.7), (256, 0.45)])
def test_few_are_fewer_in_wide_networks(width, density):
    assert form(density, width=width) == "sparse"
    assert form(density + 0.1, width=width) != "sparse"


def test_without_numba_sparse_is_refused(monkeypatch):
    monkeypatch.setattr("offline_prune.engines.compact.kernels_available", lambda: False)
    with pytest.raises(EngineError, match="fast"):
        make_engine("sparse", agent(VECTOR, "bc"))
    make_engine("auto", agent(VECTOR, "bc"))


def test_kernels_available_looks_for_numba(monkeypatch):
    assert sparse_mlp.kernels_available()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not sparse_mlp.kernels_available()


def test_an_unknown_engine_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="sparse"):
        make_engine("sparce", agent(VECTOR, "bc"))
