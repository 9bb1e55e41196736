"""Units that nobody reads leave networks whose constants do not fold, exactly."""

import dataclasses

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import PixelEncoderFactory, VectorEncoderFactory
from torch import nn

from offline_prune import CompactEngine
from offline_prune.agents import build_agent
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.engines import make_engine
from offline_prune.masks.build import mask_from_kept
from offline_prune.masks.reading import read_units
from offline_prune.masks.unit_choice import choose_units
from tests.worlds import dataset, in_double_precision, state, take_double_steps


def padded(module):
    """1×1 convolutions become 3×3 ones with padding, of the same outputs."""
    for name, child in module._cnn_layers.named_children():
        if isinstance(child, nn.Conv2d):
            wider = nn.Conv2d(child.in_channels, child.out_channels, 3, child.stride, padding=1)
            setattr(module._cnn_layers, name, wider)
    return module


def without_bias(module):
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.bias = None
    return module


def sigmoids_without_bias(module):
    return with_sigmoids(without_bias(module))


def with_sigmoids(module):
    for name, layer in module._layers.named_children():
        if isinstance(layer, nn.ReLU):
            setattr(module._layers, name, nn.Sigmoid())
    return module


@dataclasses.dataclass()
class Changed(d3rlpy.models.EncoderFactory):
    """Another factory's encoders, changed."""

    factory: object
    change: object

    def create(self, observation_shape):
        return self.change(self.factory.create(observation_shape))

    def create_with_action(self, *given):
        return self.change(self.factory.create_with_action(*given))

    @staticmethod
    def get_type():
        return "changed"


VECTOR, PIXEL = "vector-continuous", "pixel-continuous"
FILTERS = [[8, 8, 4], [9, 4, 2], [7, 2, 1]]
NETWORKS = {
    "batch normalisation": (VECTOR, VectorEncoderFactory([24, 20], use_batch_norm=True)),
    "batch normalisation of what is not 0 at 0": (
        VECTOR, Changed(VectorEncoderFactory([24, 20], use_batch_norm=True), with_sigmoids)
    ),
    "batch normalisation, images": (PIXEL, PixelEncoderFactory(FILTERS, 24, use_batch_norm=True)),
    "padding": (PIXEL, Changed(PixelEncoderFactory([[6, 1, 3], [8, 1, 2], [5, 1, 1]], 16), padded)),
    "IMPALA": (PIXEL, ImpalaEncoderFactory([7, 9], feature_size=16)),
    "Impoola": (PIXEL, ImpalaEncoderFactory([7, 9], feature_size=16, pooled=True)),
    "no bias": (VECTOR, Changed(VectorEncoderFactory([24, 20]), without_bias)),
    "no bias, and not 0 at 0": (
        VECTOR, Changed(VectorEncoderFactory([24, 20]), sigmoids_without_bias)
    ),
}  # fmt: skip


def subject_of(name):
    kind, factory = NETWORKS[name]
    scaler = None if kind == VECTOR else d3rlpy.preprocessing.PixelObservationScaler()
    config = d3rlpy.algos.TD3PlusBCConfig(
        batch_size=8,
        actor_encoder_factory=factory,
        critic_encoder_factory=factory,
        actor_optim_factory=d3rlpy.optimizers.AdamFactory(weight_decay=1e-2, clip_grad_norm=0.1),
        observation_scaler=scaler,
    )
    return kind, build_agent(dataset(kind), config, seed=1).agent


def unread(subject, density=0.5, whole=0.6, seed=0):
    """A mask that prunes some weights at random, and all that read some of the units."""
    generator = torch.Generator().manual_seed(seed)
    kept = {
        n: torch.rand(w.shape, generator=generator) < density for n, w in subject.weights.items()
    }
    for network in subject.separable:
        graph = network.graph
        units = [torch.rand(layer.size, generator=generator) > whole for layer in graph.layers]
        for weight in graph.weights:
            columns = graph.columns(weight, units)
            kept[weight.name] &= columns.view(1, -1, *[1] * (len(weight.shape) - 2))
    return mask_from_kept(subject, kept)


def n_numbers(subject):
    modules = subject.algo.impl.modules.get_torch_modules().values()
    return sum(t.numel() for top in modules for t in (*top.parameters(), *top.buffers()))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("whole", [0.6, 1.0])
def test_both_engines_follow_one_trajectory(name, whole, double_precision):
    def run(engine):
        kind, subject = subject_of(name)
        in_double_precision(subject)
        before = n_numbers(subject)
        holding = make_engine(engine, subject)
        holding.attach(unread(subject, whole=whole))
        forms = {choice.form for choice in holding.forms.values()}
        assert forms == {"dense" if engine == "compact" else "masked"}
        assert (n_numbers(subject) < 0.6 * before) == (engine == "compact")
        torch.manual_seed(0)
        take_double_steps(subject.algo, kind)
        holding.verify()
        held = state(subject.algo)
        holding.detach()
        found = state(subject.algo)
        assert all(torch.equal(held[n], t) for n, t in found.items())
        assert n_numbers(subject) == before
        return found

    expected, found = run("masked"), run("compact")
    assert expected.keys() == found.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-10, rtol=1e-8, check_dtype=False)


def test_the_sparse_kernels_leave_unread_units_out_too():
    def run(engine):
        kind, subject = subject_of("no bias")
        holding = make_engine(engine, subject)
        holding.attach(unread(subject))
        assert {choice.form for choice in holding.forms.values()} == {engine}
        for i in range(10):
            torch.manual_seed(i)
            subject.algo.update(dataset(kind).buffer.batch_at(np.arange(i, i + 8)))
        holding.detach()
        return subject.algo.impl.modules.q_funcs.state_dict()

    expected, found = run("masked"), run("sparse")
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-5, rtol=1e-4)


def structured(subject, sparsity):
    """Whole units chosen at random, as many as there are weights for."""
    kept = {}
    generator = torch.Generator().manual_seed(3)
    for network in subject.separable:
        graph = network.graph
        scores = [torch.rand(layer.size, generator=generator) for layer in graph.layers]
        alive = [torch.ones(layer.size, dtype=torch.bool) for layer in graph.layers]
        budget = graph.n_weights * (1.0 - sparsity)
        kept |= graph.kept_weights(choose_units(graph, scores, alive, budget))
    return mask_from_kept(subject, kept)


@pytest.mark.parametrize("name", ["IMPALA", "Impoola"])
@pytest.mark.parametrize("sparsity", [0.8, 0.95])
@pytest.mark.parametrize("chosen", ["whole units", "weights"])
def test_both_engines_train_the_same_residual_encoder(name, sparsity, chosen, double_precision):
    def run(engine):
        kind, subject = subject_of(name)
        holding = make_engine(engine, in_double_precision(subject))
        by_unit = structured(subject, sparsity)
        by_weight = unread(subject, density=1.0 - sparsity, whole=0.0)
        holding.attach(by_unit if chosen == "whole units" else by_weight)
        forms = {choice.form for choice in holding.forms.values()}
        assert forms == {"dense" if engine == "auto" else "masked"}
        torch.manual_seed(0)
        take_double_steps(subject.algo, kind, 5)
        holding.detach()
        return state(subject.algo)

    expected, found = run("masked"), run("auto")
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-10, rtol=1e-8, check_dtype=False)


@pytest.mark.parametrize("name", ["batch normalisation, images", "padding", "IMPALA", "Impoola"])
def test_further_units_leave_with_their_moments(name, double_precision):
    def run(engine):
        kind, subject = subject_of(name)
        holding = make_engine(engine, in_double_precision(subject))
        torch.manual_seed(0)
        sizes = []
        for whole in (0.3, 0.8):
            mask = unread(subject, density=1.0, whole=whole)
            holding.update(mask) if holding.mask else holding.attach(mask)
            sizes.append(n_numbers(subject))
            take_double_steps(subject.algo, kind, 4)
        assert (sizes[1] < sizes[0]) == (engine == "compact")
        holding.detach()
        return state(subject.algo)

    expected, found = run("masked"), run("compact")
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-10, rtol=1e-8, check_dtype=False)


@pytest.mark.parametrize("name", NETWORKS)
def test_attaching_changes_no_output(name):
    kind, subject = subject_of(name)
    mask = unread(subject)
    with torch.no_grad():
        for weights in (subject.weights, subject.targets):
            for key, weight in weights.items():
                weight *= mask.nominal[key]
    x = dataset(kind).frames[:8]
    expected = subject.algo.predict(x)
    CompactEngine(subject, "dense").attach(mask)
    torch.testing.assert_close(
        torch.tensor(subject.algo.predict(x)), torch.tensor(expected), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_of_the_original_shapes_loads_while_it_is_held(name, tmp_path):
    kind, subject = subject_of(name)
    shapes = {key: tensor.shape for key, tensor in state(subject.algo).items()}
    engine = CompactEngine(subject, "dense")
    engine.attach(unread(subject))
    subject.algo.update(dataset(kind).buffer.sample_transition_batch(8))
    saved = state(subject.algo)
    assert {key: saved[key].shape for key in shapes} == shapes
    subject.algo.save_model(str(tmp_path / "model.pt"))
    _, again = subject_of(name)
    other = CompactEngine(again, "dense")
    other.attach(engine.mask)
    again.algo.update(dataset(kind).buffer.sample_transition_batch(8))
    again.algo.load_model(str(tmp_path / "model.pt"))
    other.verify()
    assert all(torch.equal(saved[key], t) for key, t in state(again.algo).items())


def test_tied_channels_leave_together_once_none_of_their_readers_is_left():
    _, subject = subject_of("IMPALA")
    kept = {n: torch.ones(w.shape, dtype=torch.bool) for n, w in subject.weights.items()}
    stages = "policy._encoder.torso.stages"
    stage = f"{stages}.0"
    for block in (0, 1):
        kept[f"{stage}.blocks.{block}.first.weight"][:, :2] = False
    kept[f"{stages}.1.convolution.weight"][:, 0] = False  # channel 1 is read by the next stage
    engine = CompactEngine(subject, "dense")
    engine.attach(mask_from_kept(subject, kept))
    torso = subject.algo.impl.policy._encoder.torso
    tied = torso.stages[0].convolution, *(block.second for block in torso.stages[0].blocks)
    assert [layer.out_channels for layer in tied] == [6, 6, 6]
    assert engine.mask.connected[f"{stage}.convolution.weight"][1].all()
    for block in (0, 1):
        assert not engine.mask.connected[f"{stage}.blocks.{block}.second.weight"][0].any()


def test_normalisation_of_dead_channels_leaves_and_comes_back():
    _, subject = subject_of("batch normalisation, images")
    engine = CompactEngine(subject, "dense")
    engine.attach(unread(subject))
    norms = [m for m in subject.algo.impl.policy.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm, (channels, *_) in zip(norms, FILTERS, strict=True):
        assert norm.num_features == len(norm.weight) == len(norm.running_var) < channels
    engine.detach()
    for norm, (channels, *_) in zip(norms, FILTERS, strict=True):
        assert norm.num_features == len(norm.weight) == len(norm.running_var) == channels
        dead = norm.running_var == 0.0
        assert dead.any()
        assert not norm.weight[dead].any()
        assert not norm.running_mean[dead].any()


def test_a_unit_that_is_read_stays_without_its_inputs():
    _, subject = subject_of("padding")
    kept = {n: torch.ones(w.shape, dtype=torch.bool) for n, w in subject.weights.items()}
    for network in subject.separable:
        kept[network.layers[0].name][2] = False
    mask = mask_from_kept(subject, kept)
    assert all(torch.equal(mask.connected[n], m) for n, m in mask.nominal.items())
    assert all(read_units(s.graph, mask.connected)[0].all() for s in subject.separable)
    engine = CompactEngine(subject, "dense")
    engine.attach(mask)
    assert str(engine.forms["actor"]).startswith("masked: ")
