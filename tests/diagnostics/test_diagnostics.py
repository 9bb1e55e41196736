"""Numbers by hand, and plots that draw them."""

import math

import matplotlib
import numpy as np
import pytest
import torch

from offline_prune import diagnostics
from offline_prune.agents import build_agent
from offline_prune.errors import InputError, MaskError, OfflinePruneError
from offline_prune.masks.build import mask_from_kept
from offline_prune.saliency import magnitude, random, snip
from tests.worlds import CASES, agent, dataset, long_dataset

matplotlib.use("Agg")
VECTOR = "vector-continuous"


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def tiny():
    """A policy of 5 inputs, 4 and 3 hidden units, 2 outputs, and a mask drawn by hand."""
    data = dataset(VECTOR)
    subject = build_agent(data, "bc", algo_params={"hidden_units": [4, 3]}).agent
    first, second, head = subject.weights
    kept = {n: torch.zeros(w.shape, dtype=torch.bool) for n, w in subject.weights.items()}
    kept[first][0, :2] = True  # unit 0 reads inputs 0 and 1
    kept[first][1, 4] = True  # unit 1 reads input 4, and nobody reads it
    kept[second][0, 0] = True
    kept[second][1, 3] = True  # unit 3 has no input
    kept[head][0, 0] = True
    return subject, mask_from_kept(subject, kept)


def test_layers(tiny):
    report = diagnostics.layer_report(*tiny)
    assert report.weights == (20, 12, 6)
    assert report.kept == (3, 2, 1)
    assert report.connected == (2, 1, 1)
    assert report.units == (4, 3, 2)
    assert report.dead_units == (3, 2, 0)
    assert report.densities == pytest.approx((3 / 20, 2 / 12, 1 / 6))
    assert report.effective_densities == pytest.approx((2 / 20, 1 / 12, 1 / 6))
    assert report.roles == ("actor",) * 3
    axes = report.plot()
    assert len(axes.patches) == 6
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["actor: layer 1", "actor: layer 2", "actor: output"]


def test_inputs(tiny):
    use = diagnostics.input_use(*tiny)
    (name,) = use.readers
    assert use.readers[name].tolist() == [1, 1, 0, 0, 0]
    assert use.kept == {name: 2}
    axes = use.plot()
    assert len(axes.lines) == 1
    assert axes.get_legend().get_texts()[0].get_text() == "actor: 2 of 5"


def test_a_legend_covers_nothing(tiny):
    axes = diagnostics.input_use(*tiny).plot()
    axes.figure.draw_without_rendering()
    assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_layers_and_inputs_of_every_agent(kind, algo):
    subject = agent(kind, algo)
    kept = {n: torch.rand(w.shape) < 0.05 for n, w in subject.weights.items()}
    mask = mask_from_kept(subject, kept)
    report = diagnostics.layer_report(subject, mask)
    assert set(report.names) == set(subject.weights)
    assert sum(report.kept) == mask.n_kept
    assert sum(report.connected) == mask.n_connected
    use = diagnostics.input_use(subject, mask)
    assert len(use.readers) == len(subject.chains)


def test_overlap_by_hand():
    subject = agent(VECTOR, "bc")
    shapes = {n: w.shape for n, w in subject.weights.items()}
    masks = {}
    for label, stride in (("half", 2), ("quarter", 4)):
        kept = {n: (torch.arange(s.numel()) % stride == 0).view(s) for n, s in shapes.items()}
        masks[label] = mask_from_kept(subject, kept)
    found = diagnostics.overlap(masks)
    assert found.labels == ("half", "quarter")
    assert np.diag(found.jaccard).tolist() == [1.0, 1.0]
    assert found.jaccard[0, 1] == pytest.approx(0.5)  # a quarter of the weights in a half
    assert found.chance[0, 1] == pytest.approx(0.125 / 0.625)
    axes = found.plot()
    assert len(axes.texts) == 4


def test_random_masks_overlap_by_chance():
    subject = agent("pixel-continuous", "bc", whole=True)
    masks = {}
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        kept = {
            n: torch.rand(w.shape, generator=generator) < 0.1 for n, w in subject.weights.items()
        }
        masks[str(seed)] = mask_from_kept(subject, kept)
    found = diagnostics.overlap(masks)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(found.jaccard[off], found.chance[off], rtol=0.1)


def test_overlap_of_nothing_is_refused():
    with pytest.raises(MaskError, match="no mask"):
        diagnostics.overlap({})


@pytest.fixture(scope="module")
def world():
    data = long_dataset()
    return build_agent(data, "iql", algo_params={"hidden_units": [16, 16]}).agent, data


def test_stability_of_what_does_not_look_at_data_is_perfect(world):
    found = diagnostics.score_stability(*world, magnitude, 0.8, n_batches=(1, 2), draws=2)
    assert found.n_batches == (1, 2)
    assert set(found.jaccard) == {"actor", "critic[0]", "critic[1]", "value"}
    assert all(values == (1.0, 1.0) for values in found.jaccard.values())


def test_stability_of_noise_is_chance_and_of_snip_grows(world):
    noise = diagnostics.score_stability(*world, random, 0.8, n_batches=(1,), draws=3)
    assert all(value[0] < 0.2 for value in noise.jaccard.values())
    found = diagnostics.score_stability(*world, snip, 0.8, n_batches=(1, 8), draws=3)
    assert all(few < many for few, many in found.jaccard.values())
    assert len(found.plot().lines) == 4


def test_stability_needs_two_draws(world):
    with pytest.raises(InputError, match="draws is a whole number from 2 on"):
        diagnostics.score_stability(*world, snip, 0.8, draws=1)


def test_signal_is_infinite_where_all_batches_agree():
    """Of 96 transitions every mini-batch holds all; BC's loss draws no noise."""
    found = diagnostics.gradient_signal(agent(VECTOR, "bc"), dataset(VECTOR), n_batches=2)
    assert all(ratio > 1e6 for ratio in found.ratio.values())
    assert found.plot() is not None


def test_signal_of_a_saturated_network_is_zero():
    subject = agent(VECTOR, "bc")
    with torch.no_grad():
        for weight in subject.weights.values():
            weight.zero_()
        subject.algo.impl.modules.imitator._fc.bias.fill_(100.0)  # tanh(100) = 1
    found = diagnostics.gradient_signal(subject, dataset(VECTOR), n_batches=2)
    assert set(found.norm.values()) == {0.0}
    assert set(found.ratio.values()) == {0.0}


def test_signal_by_hand(world):
    subject, data = world
    found = diagnostics.gradient_signal(subject, data, n_batches=6, seed=3)
    assert tuple(found.roles) == subject.roles
    assert set(found.ratio) == set(subject.weights)
    assert all(math.isfinite(r) and r > 0 for r in found.ratio.values())
    assert all(weight.grad is None for weight in subject.weights.values())


def test_signal_needs_two_batches(world):
    with pytest.raises(InputError, match="n_batches is a whole number from 2 on"):
        diagnostics.gradient_signal(*world, n_batches=1)


def test_plots_draw_into_given_axes_and_say_what_is_missing(tiny, monkeypatch):
    axes = matplotlib.pyplot.subplots()[1]
    assert diagnostics.layer_report(*tiny).plot(axes) is axes
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(OfflinePruneError, match="plot"):
        diagnostics.layer_report(*tiny).plot()
