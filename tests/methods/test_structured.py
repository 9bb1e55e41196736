"""Whole units and channels leave while d3rlpy trains."""

import itertools

import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory

from offline_prune import Agent, prune, prune_then_train
from offline_prune.agents.unit_groups import unit_groups
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.masks.allocation import kept_count
from tests.worlds import CASES, dataset, params, within_budget


def impala_params(pooled=False):
    factory = ImpalaEncoderFactory(filters=[4, 6], feature_size=10, pooled=pooled)
    return {"encoder_factory": factory, "batch_size": 8, "observation_scaler": "pixel"}


def run(kind, algo, method="structured(interval=1)", sparsity=0.7, n_steps=20, **options):
    return prune_then_train(
        dataset(kind),
        algo,
        sparsity,
        method=method,
        n_steps=n_steps,
        evaluate=0,
        progress=False,
        **{"algo_params": params(kind, algo), **options},
    )


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_what_is_left_is_a_smaller_dense_network(kind, algo):
    result = run(kind, algo)
    subject, mask = Agent.of(result.algo), result.mask
    for group in unit_groups(subject):
        names = [w.name for w in group.graph.weights]
        asked = sum(
            kept_count(net.n_weights, 0.7) for net in subject.networks if net.role in group.roles
        )
        assert sum(int(mask.nominal[n].sum()) for n in names) <= asked
        units = [mask.nominal[layer.name].flatten(1).any(dim=1) for layer in group.graph.layers]
        expected = group.graph.kept_weights(units)
        assert all(torch.equal(mask.nominal[n], expected[n]) for n in names)
        assert all(bool(there.any()) for there in units)
    for name, weight in subject.weights.items():
        assert not weight[~mask.nominal[name]].any()


@pytest.mark.parametrize("pooled", [False, True])
def test_residual_channels_leave_together(pooled):
    result = run("pixel-discrete", "cql", algo_params=impala_params(pooled), sparsity=0.6)
    mask = result.mask.nominal
    assert 0.6 <= result.mask.sparsity < 0.85
    assert result.trained_as["critic[0]"].startswith("dense")
    prefix = "q_funcs.0._encoder.torso.stages"
    for stage in (0, 1):
        tied = [
            mask[f"{prefix}.{stage}.{name}.weight"].flatten(1).any(dim=1)
            for name in ("convolution", "blocks.0.second", "blocks.1.second")
        ]
        assert torch.equal(tied[0], tied[1])
        assert torch.equal(tied[0], tied[2])
    there = mask[f"{prefix}.1.convolution.weight"].flatten(1).any(dim=1)
    columns = mask["q_funcs.0._encoder.last.weight"].any(dim=0)
    assert len(columns) == 6 * (1 if pooled else 81)
    assert torch.equal(columns, there.repeat_interleave(len(columns) // len(there)))


def test_lost_channels_are_read_by_nobody():
    """Whatever their biases put out: the output does not depend on them."""
    result = run("pixel-discrete", "cql", algo_params=impala_params(), sparsity=0.6)
    torso = result.algo.impl.modules.q_funcs[0]._encoder.torso
    x = dataset("pixel-discrete").buffer.batch_at(np.arange(8)).observations
    expected = result.algo.predict_value(x, np.zeros(8, dtype=np.int64))
    with torch.no_grad():
        for number, stage in enumerate(torso.stages):
            name = f"q_funcs.0._encoder.torso.stages.{number}.convolution.weight"
            lost = ~result.mask.nominal[name].flatten(1).any(dim=1)
            assert lost.any()
            stage.convolution.bias[lost] += 5.0
            stage.blocks[1].second.bias[lost] -= 3.0
    found = result.algo.predict_value(x, np.zeros(8, dtype=np.int64))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_units_leave_one_after_another_and_never_return():
    subject, first = prune(
        dataset("vector-continuous"), "iql", 0.8, method="structured(interval=2)", n_steps=40,
        engine="compact", algo_params=params("vector-continuous", "iql"),
    )  # fmt: skip
    assert first.n_kept == first.n_weights
    kept, sizes = [first], []

    def follow(algo, epoch, step):
        subject.callback(algo, epoch, step)
        kept.append(subject.method.mask)
        modules = algo.impl.modules.get_torch_modules().values()
        sizes.append(sum(p.numel() for module in modules for p in module.parameters()))

    subject.algo.fit(
        dataset("vector-continuous").buffer,
        n_steps=40,
        n_steps_per_epoch=40,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=follow,
    )
    final = subject.finish()
    for before, after in itertools.pairwise(kept):
        for name in before.nominal:
            assert not (after.nominal[name] & ~before.nominal[name]).any()
    assert len({mask.n_kept for mask in kept}) > 5
    assert kept[32] is kept[-1]  # fixed from 80 % of the run on
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.5 * sizes[0]
    assert within_budget(final, 0.8)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_weakest_leave_first(norm):
    subject, _ = prune(
        dataset("vector-continuous"), "bc", 0.3, method=f"structured(norm='{norm}', begin=0.0)",
        n_steps=10, engine="masked", algo_params=params("vector-continuous", "bc"),
    )  # fmt: skip
    first, second, _ = subject.weights.values()
    with torch.no_grad():
        first[:5] *= 0.01
        second[:, :5] *= 0.01
    subject.callback(subject.algo, 1, 8)  # the end of the schedule
    left = subject.method.mask.nominal[next(iter(subject.weights))].any(dim=1)
    assert not left[:5].any()
    assert left[5:].float().mean() > 0.5


def test_wrong_requests_are_refused():
    with pytest.raises(UnknownNameError, match="norm"):
        run("vector-continuous", "bc", "structured(norm='l3')")
    with pytest.raises(InputError, match="begin ≤ end"):
        run("vector-continuous", "bc", "structured(begin=0.9, end=0.1)")
    with pytest.raises(InputError, match="refill"):
        run("vector-continuous", "bc", "structured", refill=True)


@pytest.mark.slow
def test_channels_stay_in_multiples():
    factory = ImpalaEncoderFactory(filters=[16, 16], feature_size=16)
    result = run(
        "pixel-discrete",
        "cql",
        method="structured(interval=1, multiple=8)",
        algo_params={"encoder_factory": factory, "batch_size": 8, "observation_scaler": "pixel"},
    )
    left = [left for left, _ in result.mask.layer_units.values()]
    hidden = left[:-1]  # the head keeps its outputs
    assert {n % 8 for n in hidden} == {0}
    assert 8 in hidden
    assert result.mask.sparsity >= 0.7


@pytest.mark.parametrize("multiple", [0, -1, 1.5, True])
def test_a_wrong_multiple_is_refused(multiple):
    with pytest.raises(InputError, match="multiple"):
        run("vector-continuous", "bc", f"structured(multiple={multiple})")
