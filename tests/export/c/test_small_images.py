"""Convolutions with weights of float16 and int8 in C."""

import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.errors import UnsupportedExportError
from offline_prune.export import acting_policy, export_policy
from offline_prune.export.c.c99 import c_source
from offline_prune.export.c.integers import integer_layers, multipliers
from tests.export.agents import pruned
from tests.export.c.sanitized import run_sanitized
from tests.export.c.test_c99 import CLEAN, policy_of
from tests.export.c.test_images import agent_of, thinned
from tests.export.c.test_integers import compiled
from tests.worlds import dataset

SHAPE = (2, 9, 11)


def stack(*more):
    layers = [nn.Conv2d(2, 5, (3, 4), stride=2), nn.ReLU(), nn.Conv2d(5, 7, 2), nn.ReLU(), *more]
    width = nn.Sequential(*layers)(torch.zeros(1, *SHAPE)).numel()
    layers += [nn.Flatten(), nn.Linear(width, 9), nn.ReLU(), nn.Linear(9, 3)]
    return policy_of(*(thinned(layer, 0.8, i) for i, layer in enumerate(layers)), shape=SHAPE)


def images(n=40):
    scale = np.array([1.0, 30.0]).reshape(2, 1, 1)  # channels of different units
    return (scale * np.random.default_rng(0).normal(size=(n, *SHAPE))).astype(np.float32)


def in_integers(policy, x):
    """What the integers are to compute, in float64, which holds them exactly."""
    layers = list(policy.networks[0])
    numbers = integer_layers(layers, torch.from_numpy(x))
    weighted = [layer for layer in layers if isinstance(layer, nn.Linear | nn.Conv2d)]
    scaled = x * (1.0 / numbers[0].steps).astype(np.float32)[:, None, None]
    q = torch.from_numpy(np.trunc(scaled + np.copysign(np.float32(0.5), scaled))).double()
    for layer, here, after in zip(weighted, numbers, [*numbers[1:], None], strict=True):
        weight, bias = torch.tensor(here.weight).double(), torch.tensor(here.bias).double()
        if isinstance(layer, nn.Conv2d):
            rows, channels, *kernel = layer.weight.shape
            weight = weight.view(rows, *kernel, channels).movedim(-1, 1)
            q = nn.functional.conv2d(q, weight, bias, layer.stride)
        else:
            q = q.movedim(1, -1).flatten(1) @ weight.T + bias
        if after is None:
            return np.tanh(q.float().numpy() * here.scales.astype(np.float32))
        factors, shifts = multipliers(here.scales, after.steps)
        whole = q.movedim(1, -1).numpy().astype(np.int64)
        assert np.abs(whole).max() < 2**31
        rounded = (np.maximum(whole, 0) * factors + (1 << (shifts - 1))) >> shifts
        q = torch.tensor(np.clip(rounded, 0, after.limit)).double().movedim(-1, 1)


@pytest.mark.parametrize("more", [(), (nn.Conv2d(7, 4, (1, 2)), nn.ReLU())])
def test_integers_are_exact(more, tmp_path):
    policy, x = stack(*more), images()
    for run in compiled(policy, x, "int8", tmp_path):
        np.testing.assert_allclose(run(x), in_integers(policy, x), rtol=3e-6)


@pytest.mark.parametrize(("dtype", "allowed"), [("float16", 2e-3), ("int8", 0.05)])
def test_close_to_the_policy(dtype, allowed, tmp_path):
    policy, x = stack(), images()
    expected = policy(torch.from_numpy(x)).numpy()
    assert np.ptp(expected, axis=0).min() > 0.3
    for run in compiled(policy, x, dtype, tmp_path):
        np.testing.assert_allclose(run(x), expected, atol=allowed)


@pytest.mark.parametrize("pooled", [False, True])
def test_residual_encoders_with_half_weights(pooled, tmp_path):
    factory = ImpalaEncoderFactory(filters=[5, 17], feature_size=11, pooled=pooled)
    encoder = thinned(factory.create(SHAPE), 0.9)
    policy, x = policy_of(encoder, nn.Linear(11, 2), shape=SHAPE), images()
    runs = compiled(policy, x, "float16", tmp_path)
    with torch.no_grad():
        for layer in policy.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight.copy_(layer.weight.half())
    for run in runs:
        np.testing.assert_allclose(run(x), policy(torch.from_numpy(x)).numpy(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_undefined_behaviour(dtype, tmp_path):
    """Whatever is observed, the sanitizers of the compiler find nothing."""
    (tmp_path / "policy.c").write_text(c_source(stack(), {}, dtype, images()))
    main = (
        '#include "policy.c"\nint main(void) {'
        " static const float odd[7] = {0, -0.0f, 1e-40f, 3e38f, -3e38f, INFINITY, NAN};"
        " float x[POLICY_OBSERVATION_SIZE], a[3]; int i, j; for (i = 0; i < 40; i++) {"
        " for (j = 0; j < POLICY_OBSERVATION_SIZE; j++) x[j] = odd[(i * (j + 1) + j) % 7];"
        " policy_act(x, a); policy_act_batch(1, x, a); } return 0; }\n"
    )
    run_sanitized(tmp_path, main, "address,undefined,float-cast-overflow", "-g")


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_the_source_is_clean_and_has_no_float_weights(dtype, tmp_path):
    policy, x = stack(), images()
    source = c_source(policy, {}, dtype, x)
    (tmp_path / "policy.c").write_text(source)
    command = ["cc", *CLEAN, "-c", "policy.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "float network_0_0_weights" not in source


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_agents(dtype, tmp_path):
    algo = pruned("pixel-discrete", "bcq")
    observations = dataset("pixel-discrete").observations
    written = export_policy(algo, tmp_path / "policy.c", observations, dtype=dtype)
    assert written.n_checked == len(observations)


def test_residual_blocks_have_no_integers():
    policy = acting_policy(agent_of("pixel-continuous"))
    x = dataset("pixel-continuous").observations
    with pytest.raises(UnsupportedExportError, match=r"PooledConvolution: int8 is for .*float16"):
        c_source(policy, {}, "int8", x)
