import copy

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import (
    PixelEncoderFactory,
    QRQFunctionFactory,
    VectorEncoderFactory,
)
from d3rlpy.preprocessing import (
    MinMaxActionScaler,
    MinMaxObservationScaler,
    StandardObservationScaler,
)
from torch import nn

from offline_prune import CompactEngine
from offline_prune.agents import build_agent
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.errors import AlgorithmError, UnsupportedExportError
from offline_prune.export import acting_policy, export_policy
from offline_prune.masks.build import mask_from_kept
from tests.export.agents import CONFIGS, VECTOR, built, named, prune, pruned
from tests.ofenet.algorithms import make as make_with_ofenet
from tests.worlds import CASES, FURTHER, agent, dataset

# Algorithms of continuous actions whose policy is more than one network.
DRAWING = ("bcq", "bear", "crr", "plas", "plas_with_perturbation")
ACTING = [
    case
    for case in (*CASES, *FURTHER)
    if not case[0].endswith("continuous") or case[1] not in DRAWING
]


def check(algo, observations, tolerance=1e-6):
    """The policy computes what algo.predict does; return it."""
    policy = acting_policy(algo)
    expected = algo.predict(observations)
    with torch.no_grad():
        found = policy(torch.from_numpy(observations).float()).numpy()
    assert found.shape == expected.shape
    if policy.discrete:
        assert len(np.unique(expected)) > 1  # else nothing would be compared
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, atol=tolerance)
    return policy


def widths(policy):
    return [
        layer.weight.shape[0]
        for layer in policy.networks.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]


@pytest.mark.parametrize(("kind", "algo"), ACTING)
def test_computes_what_the_algorithm_predicts(kind, algo):
    tolerance = 1e-6 if kind.startswith("vector") else 5e-6  # 36 × 36 inputs round more
    policy = check(pruned(kind, algo), dataset(kind).observations, tolerance)
    assert 0.6 < policy.sparsity < 0.9
    assert sum(p.numel() for p in policy.parameters() if p.dim() > 1) < policy.n_weights


@pytest.mark.parametrize("name", CONFIGS)
def test_further_algorithms(name):
    check(*named(name))


@pytest.mark.parametrize("name", ["dqn", "double dqn of two critics"])
def test_outputs_are_the_q_values(name):
    algo, observations = named(name)
    policy = acting_policy(algo)
    with torch.no_grad():
        scores = policy.rule.scores(policy.outputs(torch.from_numpy(observations)))
    for action in range(3):
        expected = algo.predict_value(observations, np.full(len(observations), action))
        np.testing.assert_allclose(scores[:, action], expected, atol=5e-6)


def test_units_that_are_not_needed_leave():
    policy = acting_policy(pruned(VECTOR, "td3_plus_bc"))
    first, second, head = widths(policy)
    assert first <= 24 - 4 - 2
    assert second <= 24 - 4 - 2
    assert head == 2


def test_units_that_only_the_deviation_reads_leave():
    algo, _ = named("sac")
    policy = algo.impl.modules.policy
    with torch.no_grad():
        policy._mu.weight[:, 4:] = 0.0
        policy._mu.weight[:, :4] = 1.0
        policy._logstd.weight[:] = 1.0
    compact = check(algo, dataset(VECTOR).observations)
    assert widths(compact)[1] <= 4


def test_the_algorithm_stays_as_it_is():
    algo = pruned("pixel-continuous", "iql")
    modules = algo.impl.modules.get_torch_modules()
    before = {f: copy.deepcopy(m.state_dict()) for f, m in modules.items()}
    state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    policy = acting_policy(algo)
    assert torch.equal(state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 1.0
    for field, module in modules.items():
        for name, tensor in module.state_dict().items():
            assert torch.equal(tensor, before[field][name])
    assert all(p.requires_grad for p in algo.impl.modules.policy.parameters())


def test_scalers():
    for observation_scaler in (
        StandardObservationScaler(mean=np.arange(5.0), std=np.linspace(0.1, 2.0, 5)),
        MinMaxObservationScaler(minimum=-np.arange(2.0, 7.0), maximum=np.arange(1.0, 6.0)),
    ):
        config = CONFIGS["td3"][1](
            observation_scaler=observation_scaler,
            action_scaler=MinMaxActionScaler(minimum=[-2.0, -3.0], maximum=[2.0, 5.0]),
        )
        policy = check(built(config), dataset(VECTOR).observations, 5e-6)
        assert policy.observation_scale is not None
        assert policy.action_scale is not None


@pytest.mark.parametrize("activation", ["tanh", "gelu", "swish"])
def test_constants_of_other_activations_are_handed_on(activation):
    encoder = VectorEncoderFactory([24, 24], activation=activation)
    policy = check(
        built(d3rlpy.algos.BCConfig(encoder_factory=encoder)), dataset(VECTOR).observations
    )
    assert max(widths(policy)) < 24


@torch.no_grad()
def running_statistics(algo):
    generator = torch.Generator().manual_seed(1)
    for top in algo.impl.modules.get_torch_modules().values():
        for module in top.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                size = module.running_mean.shape
                module.running_mean.copy_(torch.randn(size, generator=generator))
                module.running_var.copy_(torch.rand(size, generator=generator) + 0.1)
                module.weight.copy_(torch.randn(size, generator=generator))
                module.bias.copy_(torch.randn(size, generator=generator))


@pytest.mark.parametrize("kind", [VECTOR, "pixel-continuous"])
def test_normalisation_goes_into_the_next_layer(kind):
    if kind == VECTOR:
        encoder = VectorEncoderFactory([24, 24], use_batch_norm=True, dropout_rate=0.5)
    else:
        encoder = PixelEncoderFactory([[8, 4, 2], [8, 4, 2]], 16, use_batch_norm=True)
    algo = built(d3rlpy.algos.BCConfig(encoder_factory=encoder, **scaling(kind)), kind)
    running_statistics(algo)
    policy = check(algo, dataset(kind).observations, 1e-5)
    left = {type(m) for m in policy.networks.modules()}
    assert not left & {nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout}
    assert max(widths(policy)[:2]) < widths(acting_policy(built_dense(kind, encoder)))[0]


def scaling(kind):
    if kind == VECTOR:
        return {}
    return {"observation_scaler": d3rlpy.preprocessing.PixelObservationScaler()}


def built_dense(kind, encoder):
    return built(d3rlpy.algos.BCConfig(encoder_factory=encoder, **scaling(kind)), kind, density=1)


def test_layer_normalisation_is_copied_whole():
    encoder = VectorEncoderFactory([24, 24], use_layer_norm=True)
    policy = check(
        built(d3rlpy.algos.BCConfig(encoder_factory=encoder)), dataset(VECTOR).observations
    )
    assert widths(policy) == [24, 24, 2]


def test_impala_of_which_everything_is_read():
    config = d3rlpy.algos.BCConfig(
        encoder_factory=ImpalaEncoderFactory(filters=[4, 4], feature_size=16),
        **scaling("pixel-continuous"),
    )
    check(built(config, "pixel-continuous"), dataset("pixel-continuous").observations[:8], 2e-6)


@pytest.mark.parametrize("name", ["td3_plus_bc", "discrete_cql"])
def test_layers_above_an_ofenet_are_compacted(name):
    algo = make_with_ofenet(name)
    kind = VECTOR if name == "td3_plus_bc" else "vector-discrete"
    owner = algo.impl.modules.policy if name == "td3_plus_bc" else algo.impl.modules.q_funcs[0]
    with torch.no_grad():
        owner._encoder._layers[0].weight[:3] = 0.0
    policy = acting_policy(algo)
    x = dataset(kind).observations
    with torch.no_grad():
        found = policy(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, algo.predict(x), atol=1e-6)
    assert 5 in widths(policy)  # of 8
    before = [p.detach().clone() for p in owner._encoder.ofenet.parameters()]
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 1.0
    for parameter, value in zip(owner._encoder.ofenet.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


def test_distributional_critics_are_copied_whole():
    config = d3rlpy.algos.DQNConfig(q_func_factory=QRQFunctionFactory(n_quantiles=4))
    algo = build_agent(dataset("vector-discrete"), config).agent.algo
    check(algo, dataset("vector-discrete").observations)


def test_a_network_without_any_path():
    subject = agent(VECTOR, "td3_plus_bc")
    prune(subject, 0.0)
    policy = check(subject.algo, dataset(VECTOR).observations)
    assert widths(policy) == [1, 1, 2]


@pytest.mark.parametrize("algo", DRAWING)
def test_a_policy_that_draws_actions_or_decodes_them_is_refused(algo):
    with pytest.raises(UnsupportedExportError, match="BEAR and CRR draw actions"):
        acting_policy(agent(VECTOR, algo).algo)


def test_an_unbuilt_algorithm_is_refused():
    with pytest.raises(AlgorithmError, match="no networks yet"):
        acting_policy(d3rlpy.algos.BCConfig().create())


def test_an_unknown_scaler_is_refused():
    class Halved(MinMaxObservationScaler):
        def transform(self, x):
            return x / 2

    algo = built(d3rlpy.algos.BCConfig())
    algo.config.observation_scaler = Halved(minimum=np.zeros(5), maximum=np.ones(5))
    with pytest.raises(UnsupportedExportError, match="observation scaler Halved"):
        acting_policy(algo)
    algo = built(d3rlpy.algos.BCConfig())
    algo.config.action_scaler = object()
    with pytest.raises(UnsupportedExportError, match="action scaler object"):
        acting_policy(algo)


def test_an_agent_that_a_sparse_engine_holds_is_refused():
    subject = agent(VECTOR, "bc")
    engine = CompactEngine(subject, "sparse")
    kept = {n: torch.rand(w.shape) < 0.2 for n, w in subject.weights.items()}
    engine.attach(mask_from_kept(subject, kept))
    with pytest.raises(AlgorithmError, match="detach"):
        acting_policy(subject.algo)
    engine.detach()
    check(subject.algo, dataset(VECTOR).observations)


@pytest.mark.parametrize("suffix", [".c", ".pt", ".onnx"])
def test_implicit_quantiles_are_refused_by_name(tmp_path, suffix):
    config = d3rlpy.algos.DQNConfig(q_func_factory=d3rlpy.models.IQNQFunctionFactory())
    algo = config.create()
    algo.create_impl((5,), 3)
    with pytest.raises(UnsupportedExportError, match=r"DiscreteIQNQFunction.*QRQFunctionFactory"):
        export_policy(algo, tmp_path / f"policy{suffix}", np.zeros((4, 5), "f4"))
    assert not list(tmp_path.iterdir())
