"""Weights of float16 and int8 in C."""

import subprocess
from itertools import pairwise

import d3rlpy
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from offline_prune.errors import ExportError, UnknownNameError, UnsupportedExportError
from offline_prune.export import acting_policy, export_policy
from offline_prune.export.c.c99 import c_source
from offline_prune.export.c.integers import HEADROOM, integer_layers, multipliers
from offline_prune.export.c.layers import ordered_layers
from offline_prune.export.c.library import open_c
from offline_prune.export.float16 import as_half
from tests.export.agents import CONFIGS, VECTOR, built, named, too_coarse_for_bytes
from tests.export.c.sanitized import run_sanitized
from tests.export.c.test_c99 import CLEAN, policy_of, sparse_linear
from tests.worlds import dataset

SMALL = ("float16", "int8")


def policy(density, activation, *widths):
    layers = [sparse_linear(b, a, density, seed) for seed, (a, b) in enumerate(pairwise(widths))]
    stack = [m for layer in layers for m in (layer, activation)][:-1]
    return policy_of(*stack, shape=(widths[0],))


def inputs(n, columns):
    return (3 * np.random.default_rng(0).normal(size=(n, columns))).astype(np.float32)


def compiled(subject, x, dtype, folder):
    path = folder / "policy.c"
    path.write_text(c_source(subject, {}, dtype, x))
    return open_c(path, subject)


def in_integers(subject, calibration, x):
    """What the integer form of layers with ReLUs is to compute, in whole numbers of Python."""
    layers = ordered_layers(subject.networks[0])
    numbers = integer_layers(layers, torch.from_numpy(calibration))
    scaled = x * (1.0 / numbers[0].steps).astype(np.float32)
    cut = np.clip(scaled, -numbers[0].limit, numbers[0].limit)
    q = np.trunc(cut + np.copysign(np.float32(0.5), cut)).astype(np.int64)
    for layer, after in pairwise([*numbers, None]):
        sums = q @ layer.weight.T + layer.bias
        assert np.abs(sums).max() < 2**31
        if after is None:
            return np.tanh(sums.astype(np.float32) * layer.scales.astype(np.float32))
        factors, shifts = multipliers(layer.scales, after.steps)
        product = sums.astype(object) * factors
        q = (abs(product) + 2 ** (shifts.astype(object) - 1)) // 2 ** shifts.astype(object)
        q = np.clip(np.where(product < 0, 0, q), 0, after.limit).astype(np.int64)


@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("widths", [(5, 3), (7, 19, 2), (17, 64, 40, 6)])
def test_integers_are_exact(widths, density, tmp_path):
    subject, x = policy(density, nn.ReLU(), *widths), inputs(60, widths[0])
    expected = in_integers(subject, x[:30], 2 * x)
    for run in compiled(subject, x[:30], "int8", tmp_path):
        np.testing.assert_allclose(run(2 * x), expected, rtol=3e-7)


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Identity(), nn.Tanh()], ids=str)
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_a_block_is_bit_for_bit_one_after_another(dtype, activation, density, tmp_path):
    subject, x = policy(density, activation, 9, 70, 37, 3), inputs(150, 9)
    one_by_one, batch = compiled(subject, x[:40], dtype, tmp_path)
    assert "network_0_lanes" in c_source(subject, {}, dtype, x)
    tolerance = 0 if dtype == "int8" else 1e-6  # floats are added in another order
    np.testing.assert_allclose(batch(x), one_by_one(x), rtol=0, atol=tolerance)


def test_long_rows_of_integers_are_read_one_after_another():
    dense, sparse = (policy(density, nn.ReLU(), 9, 256, 3) for density in (1.0, 0.1))
    assert "POLICY_LANES" not in c_source(dense, {}, "int8", inputs(40, 9))
    assert "#define POLICY_LANES 64\n" in c_source(sparse, {}, "int8", inputs(40, 9))


ACTIVATIONS = [nn.ReLU(), nn.Tanh(), nn.ELU(0.7), nn.Identity(), nn.LeakyReLU(0.2)]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize(("dtype", "allowed"), [("float16", 2e-3), ("int8", 0.05)])
def test_close_to_the_policy(dtype, allowed, density, activation, tmp_path):
    subject, x = policy(density, activation, 11, 40, 30, 4), inputs(200, 11)
    expected = subject(torch.from_numpy(x)).numpy()
    for run in compiled(subject, x, dtype, tmp_path):
        np.testing.assert_allclose(run(x), expected, atol=allowed)


def test_half_weights_are_those_of_numpy(tmp_path):
    subject, x = policy(0.3, nn.ReLU(), 9, 20, 3), inputs(20, 9)
    layers = subject.networks[0]
    with torch.no_grad():
        layers[0].weight[0, 0] = 3e-7  # below what float16 holds with all its bits
    runs = compiled(subject, x, "float16", tmp_path)
    with torch.no_grad():
        for layer in (layers[0], layers[2]):
            layer.weight.copy_(torch.tensor(layer.weight.numpy().astype(np.float16)))
    for run in runs:
        np.testing.assert_allclose(run(x), subject(torch.from_numpy(x)).numpy(), atol=1e-6)


def test_the_unit_of_an_input_does_not_matter():
    subject, x = policy(1.0, nn.ReLU(), 8, 16, 2), inputs(100, 8)
    units = (4.0 ** np.arange(-4, 4)).astype(np.float32)
    before = in_integers(subject, x, x)
    with torch.no_grad():
        subject.networks[0][0].weight /= torch.from_numpy(units)
    np.testing.assert_allclose(in_integers(subject, x * units, x * units), before, atol=1e-6)


@given(st.integers(1, 2000), st.integers(0, 2**16), st.floats(-8, 8), st.floats(-8, 8))
def test_no_sum_can_overflow(n_columns, seed, weights, biases):
    rng = np.random.default_rng(seed)
    layer = nn.Linear(n_columns, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(10.0**weights * rng.normal(size=(3, n_columns))))
        layer.bias.copy_(torch.tensor(10.0**biases * rng.normal(size=3)))
    (numbers,) = integer_layers([layer], torch.tensor(inputs(9, n_columns)))
    assert np.abs(numbers.weight).max() <= 127
    assert 1 <= numbers.limit <= 32767
    most = numbers.limit * np.abs(numbers.weight).sum(axis=1) + np.abs(numbers.bias)
    assert most.max() < 2**31


@given(st.floats(-60, 25), st.integers(-(2**31), 2**31 - 1))
def test_multipliers(exponent, total):
    factor, shift = (int(n[0]) for n in multipliers(np.array([2.0**exponent]), np.ones(1)))
    assert 0 <= factor < 2**31
    assert 1 <= shift <= 62
    assert factor / 2**shift == pytest.approx(2.0**exponent, rel=1e-6, abs=2**-60)
    assert abs(total) * factor + 2 ** (shift - 1) < 2**63


def test_wide_layers_take_smaller_inputs():
    layer = nn.Linear(5000, 2)
    (numbers,) = integer_layers([layer], torch.ones(3, 5000))
    assert numbers.limit < 10_000
    assert numbers.steps[0] * numbers.limit == pytest.approx(HEADROOM)


@pytest.mark.slow
@pytest.mark.parametrize("density", [0.1, 1.0])
@pytest.mark.parametrize("dtype", SMALL)
def test_undefined_behaviour(dtype, density, tmp_path):
    """Whatever is observed, the sanitizers of the compiler find nothing."""
    subject = policy(density, nn.ReLU(), 5, 300, 9, 2)
    (tmp_path / "policy.c").write_text(c_source(subject, {}, dtype, inputs(50, 5)))
    main = (
        '#include "policy.c"\n#include <stdio.h>\nint main(void) {'
        " static const float odd[7] = {0, -0.0f, 1e-40f, 3e38f, -3e38f, INFINITY, NAN};"
        " float x[5], a[2]; int i, j;"
        " for (i = 0; i < 700; i++) { for (j = 0; j < 5; j++) x[j] = odd[(i * (j + 1) + j) % 7];"
        " policy_act(x, a); } return 0; }\n"
    )
    run_sanitized(tmp_path, main, "address,undefined,float-cast-overflow", "-g")


@pytest.mark.parametrize("dtype", SMALL)
def test_the_source_is_clean_and_always_the_same(dtype, tmp_path):
    subject, x = policy(0.3, nn.Tanh(), 5, 300, 9, 2), inputs(50, 5)
    source = c_source(subject, {}, dtype, x)
    assert source == c_source(subject, {}, dtype, x)
    (tmp_path / "policy.c").write_text(source)
    command = ["cc", *CLEAN, "-c", "policy.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_smaller_weights_are_smaller_programs(tmp_path):
    sizes = []
    subject, x = policy(0.1, nn.ReLU(), 64, 256, 256, 4), inputs(20, 64)
    for dtype in ("float32", "float16", "int8"):
        (tmp_path / "policy.c").write_text(c_source(subject, {}, dtype, x))
        subprocess.run(["cc", "-Os", "-c", "policy.c"], cwd=tmp_path, check=True)
        size = subprocess.run(["size", "policy.o"], cwd=tmp_path, capture_output=True, text=True)
        sizes.append(int(size.stdout.splitlines()[1].split()[0]))
    assert sizes[1] < 0.7 * sizes[0]
    assert sizes[2] < 0.55 * sizes[0]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("name", CONFIGS)
def test_agents(name, dtype, tmp_path):
    algo, observations = named(name)
    written = export_policy(algo, tmp_path / "policy.c", observations, dtype=dtype)
    assert written.dtype == dtype
    assert written.n_checked == len(observations)
    assert dtype in str(written)
    if written.largest_difference is not None:
        assert 0 < written.mean_difference < written.largest_difference


def test_scaled_observations_calibrate(tmp_path):
    config = CONFIGS["td3"][1](
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(
            mean=np.arange(5.0), std=np.linspace(0.1, 2.0, 5)
        )
    )
    algo, observations = built(config), dataset(VECTOR).observations
    written = export_policy(algo, tmp_path / "policy.c", observations, dtype="int8")
    assert written.largest_difference < 0.1


def test_what_is_too_coarse_is_refused(tmp_path):
    algo, x = too_coarse_for_bytes()
    with pytest.raises(ExportError, match=r'is allowed.*or take dtype="float16"'):
        export_policy(algo, tmp_path / "policy.c", x, dtype="int8")
    assert not list(tmp_path.iterdir())


def test_what_there_is_not_is_refused_by_name(tmp_path):
    algo, observations = named("td3")
    with pytest.raises(UnknownNameError, match="dtype"):
        export_policy(algo, tmp_path / "policy.c", observations, dtype="int4")
    with pytest.raises(UnsupportedExportError, match="float16 ends at 65504"):
        as_half(torch.tensor([[1e5]]))
    padded = nn.Conv2d(1, 2, 3, padding=1)
    images = policy_of(padded, nn.Flatten(), nn.Linear(32, 2), shape=(1, 4, 4))
    with pytest.raises(UnsupportedExportError, match=r"Conv2d: int8 is .*float16"):
        c_source(images, {}, "int8", inputs(16, 16).reshape(16, 1, 4, 4))


def test_discrete_actions_that_differ_are_counted(tmp_path):
    algo, observations = named("discrete bcq of two critics")
    written = export_policy(algo, tmp_path / "policy.c", observations, dtype="int8")
    assert "takes another action than algo.predict on" in str(written)
    (run, _) = open_c(written.path, acting_policy(algo))
    assert written.n_ties >= int((run(observations) != algo.predict(observations)).sum())
