"""Residual image encoders as C."""

import re
import shutil
import subprocess

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.preprocessing import PixelObservationScaler
from torch import nn

from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.errors import UnsupportedExportError
from offline_prune.export import acting_policy, export_policy
from offline_prune.export.c.c99 import c_source
from offline_prune.export.c.images import PooledConvolution, plain_steps
from offline_prune.export.c.layers import c_network
from tests.export.agents import built
from tests.export.c.sanitized import run_sanitized
from tests.export.c.test_c99 import CLEAN, compiled, policy_of
from tests.worlds import dataset


def thinned(module, density, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight *= (torch.rand(layer.weight.shape) < density) / density**0.5
                layer.bias.normal_(std=0.3)
    return module


def agrees(policy, shape, tmp_path, n=6):
    x = np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)
    expected = policy(torch.from_numpy(x)).numpy()
    assert np.ptp(expected, axis=0).min() > 1e-3
    runs = compiled(policy, tmp_path)
    assert len(runs) == 2
    for run in runs:
        np.testing.assert_allclose(run(x), expected, atol=1e-6)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("density", [0.2, 1.0])
@pytest.mark.parametrize("shape", [(3, 10, 10), (2, 17, 8), (3, 6, 5), (4, 33, 36)])
def test_residual_encoders(shape, density, pooled, tmp_path):
    factory = ImpalaEncoderFactory(filters=[5, 7, 4], feature_size=11, pooled=pooled)
    encoder = thinned(factory.create(shape), density)
    head = nn.Linear(11, 2)
    agrees(policy_of(encoder, head, shape=shape), shape, tmp_path)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [1, (2, 0), (0, 3)])
def test_padded_convolutions(padding, stride, tmp_path):
    shape = (2, 9, 11)
    first = nn.Conv2d(2, 3, (3, 4), stride=stride, padding=padding)
    second = nn.Conv2d(3, 4, 2, padding=1, bias=False)
    width = second(first(torch.zeros(1, *shape))).numel()
    torch.manual_seed(0)
    layers = [first, nn.ReLU(), second, nn.Tanh(), nn.Flatten(), nn.Linear(width, 2)]
    agrees(policy_of(*layers, shape=shape), shape, tmp_path)


@pytest.mark.parametrize("pool", [(2, 2, 0), (3, 1, 1), (5, 3, 2), (4, 2, 1)])
@pytest.mark.parametrize("channels", [3, 16])
def test_pools_of_other_sizes(channels, pool, tmp_path):
    kernel, stride, padding = pool
    convolution = nn.Conv2d(2, channels, 3, padding=1)
    pooling = nn.MaxPool2d(kernel, stride, padding)

    class Pooled(PooledConvolution):
        def forward(self, x):
            return self.pool(self.convolution(x))

    step = Pooled(convolution, pooling)
    shape = (2, 9, 12)
    width = step(torch.zeros(1, *shape)).numel()
    policy = policy_of(step, nn.Flatten(), nn.Linear(width, 2), shape=shape)
    step.__class__ = PooledConvolution
    policy.networks[0][0].__class__ = PooledConvolution
    source = c_source(policy, {})
    policy.networks[0][0].__class__ = Pooled
    x = torch.randn(5, *shape)
    expected = policy(x).numpy()
    path = tmp_path / "policy.c"
    path.write_text(source)
    from offline_prune.export.c.library import open_c

    for run in open_c(path, policy):
        np.testing.assert_allclose(run(x.numpy()), expected, atol=1e-6)


FEW, MANY = [4, 6], [16, 30]  # filters: written channels first, and channels last


def agent_of(kind, pooled=False, density=0.7, filters=FEW):
    factory = ImpalaEncoderFactory(filters=filters, feature_size=12, pooled=pooled)
    options = {"encoder_factory": factory, "observation_scaler": PixelObservationScaler()}
    if kind == "pixel-continuous":
        return built(d3rlpy.algos.BCConfig(**options), kind, density)
    return built(d3rlpy.algos.DiscreteBCQConfig(n_critics=2, **options), kind, density)


@pytest.mark.parametrize("filters", [FEW, MANY])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("kind", ["pixel-continuous", "pixel-discrete"])
def test_agents_export_and_agree(kind, pooled, filters, tmp_path):
    algo = agent_of(kind, pooled, filters=filters)
    observations = dataset(kind).observations
    written = export_policy(algo, tmp_path / "policy.c", observations)
    assert written.n_checked == len(observations)
    again = export_policy(algo, tmp_path / "policy.pt", observations)
    assert (written.n_weights, written.n_exported) == (again.n_weights, again.n_exported)


FIRST = {"frame", "pool", "convolve_framed_16", "keep", "add", "means"}
LAST = {
    "interleave",
    "surround",
    "convolve_dense",
    "largest",
    "convolve_dense_pooled",
    "add_to",
    "average",
}


@pytest.mark.slow
@pytest.mark.parametrize(("filters", "loops"), [(FEW, FIRST), (MANY, LAST)])
def test_the_source_is_clean_and_has_one_loop_of_a_kind(filters, loops, tmp_path):
    policy = acting_policy(agent_of("pixel-discrete", pooled=True, filters=filters))
    source = c_source(policy, {})
    assert source == c_source(policy, {})
    definitions = re.findall(r"^static \w+ \*?(\w+)\(", source, re.M)
    assert len(set(definitions)) == len(definitions)
    assert loops <= set(definitions)
    path = tmp_path / "policy.c"
    path.write_text(source)
    command = [shutil.which("cc"), *CLEAN, "-c", path, "-o", tmp_path / "policy.o"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("filters", [FEW, MANY])
def test_nothing_is_read_or_written_out_of_bounds(filters, tmp_path):
    """The sanitizers watch every index of one observation and of a block."""
    policy = acting_policy(agent_of("pixel-continuous", filters=filters))
    n = int(np.prod(policy.observation_shape))
    main = (
        c_source(policy, {})
        + f"int main(void) {{ static float x[3 * {n}], a[3 * POLICY_ACTION_SIZE]; int i;\n"
        + f"for (i = 0; i < 3 * {n}; i++) x[i] = (float)(i % 251);\n"
        + "policy_act(x, a); policy_act_batch(3, x, a); return a[0] != a[0]; }\n"
    )
    run_sanitized(tmp_path, main, "address,undefined", "-O1")


def test_only_kept_weights_are_stored():
    dense, sparse = (
        c_source(acting_policy(agent_of("pixel-continuous", density=d)), {}) for d in (1.0, 0.3)
    )
    assert len(sparse) < 0.6 * len(dense)


def test_steps_are_those_of_the_encoder():
    encoder = ImpalaEncoderFactory(filters=[3, 4], feature_size=5).create((2, 9, 9))
    names = [type(step).__name__ for step in plain_steps(encoder)]
    block = ["Keep", "ReLU", "Conv2d", "ReLU", "Conv2d", "AddKept"]
    assert names == ["PooledConvolution", *block, *block] * 2 + [
        "ReLU",
        "Flatten",
        "Linear",
        "ReLU",
    ]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.Conv2d(1, 1, 3, dilation=2),
        nn.MaxPool2d(2),
    ],
)
def test_what_else_there_is_is_refused(layer):
    with pytest.raises(UnsupportedExportError, match=f"C has no form of {type(layer).__name__}"):
        c_network("network_0", nn.Sequential(layer, nn.Flatten(), nn.Linear(4, 1)), (1, 4, 4))
