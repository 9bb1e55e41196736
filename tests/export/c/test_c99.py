import re
import shutil
import subprocess
from itertools import pairwise

import d3rlpy
import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.models import PixelEncoderFactory, VectorEncoderFactory
from torch import nn

from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import TanhRule
from offline_prune.errors import UnsupportedExportError
from offline_prune.export import UncheckedExportWarning, acting_policy, export_policy
from offline_prune.export.c.c99 import c_source
from offline_prune.export.c.layers import SPARSE_BELOW, c_network
from offline_prune.export.c.library import open_c
from offline_prune.export.c.network import c_array, c_number
from tests.export.agents import CONFIGS, VECTOR, built, named, pruned
from tests.worlds import dataset

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-pedantic"]
CLEAN = ["-std=c99", "-O3", *WARNINGS, "-Werror"]


def policy_of(*layers, shape=(5,)):
    network = nn.Sequential(*layers)
    with torch.no_grad():
        size = network(torch.zeros(1, *shape)).shape[1]
    return ActingPolicy(
        None, [network], TanhRule(), None,
        observation_shape=shape, action_size=size, n_weights=1, n_nonzero=1,
    )  # fmt: skip


def compiled(policy, tmp_path):
    path = tmp_path / "policy.c"
    path.write_text(c_source(policy, {}))
    return open_c(path, policy)


def sparse_linear(rows, columns, density, seed=0):
    torch.manual_seed(seed)
    layer = nn.Linear(columns, rows)
    with torch.no_grad():
        layer.weight *= torch.rand(rows, columns) < density
    return layer


@pytest.mark.parametrize(("rows", "columns"), [(7, 3), (8, 256), (9, 257), (16, 300)])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.15, 0.5, 1.0])
def test_linear_layers_dense_and_sparse(rows, columns, density, tmp_path):
    layer = sparse_linear(rows, columns, density)
    policy = policy_of(layer, shape=(columns,))
    source = c_source(policy, {})
    kept = float((layer.weight != 0).float().mean())
    assert ("sparse_" in source) == (kept <= SPARSE_BELOW)
    if kept <= SPARSE_BELOW:
        assert ("unsigned char" in source) == (columns <= 256)
    x = np.random.default_rng(0).normal(size=(37, columns)).astype(np.float32)
    expected = policy(torch.from_numpy(x)).numpy()
    for run in compiled(policy, tmp_path):
        np.testing.assert_allclose(run(x), expected, atol=1e-6)


def sparse_pair(*widths):
    """Two sparse networks that read the same 11 numbers."""
    networks = []
    for seed in range(2):
        layers = [sparse_linear(b, a, 0.3, seed) for a, b in pairwise((11, *widths))]
        networks.append(nn.Sequential(*[m for layer in layers for m in (layer, nn.Tanh())][:-1]))
    return ActingPolicy(
        None, networks, TanhRule(), None,
        observation_shape=(11,), action_size=2 * widths[-1], n_weights=1, n_nonzero=1,
    )  # fmt: skip


@pytest.mark.parametrize("widths", [(1, 3), (9, 17, 2), (31, 8, 5)])
def test_sparse_networks_side_by_side(widths, tmp_path):
    """Loops that write whole slices write over nobody's numbers."""
    policy = sparse_pair(*widths)
    assert "sparse_8(" in c_source(policy, {})
    x = np.random.default_rng(0).normal(size=(40, 11)).astype(np.float32)
    expected = policy(torch.from_numpy(x)).numpy()
    for run in compiled(policy, tmp_path):
        np.testing.assert_allclose(run(x), expected, atol=1e-6)


@pytest.mark.parametrize("widths", [(1, 3), (9, 17, 2), (31, 8, 5)])
def test_no_loop_leaves_its_arrays(widths, tmp_path):
    """Run with the checks of the compiler, where it has them."""
    (tmp_path / "main.c").write_text(
        '#include "policy.c"\nint main(void) {'
        " static float x[40 * POLICY_OBSERVATION_SIZE], a[40 * POLICY_ACTION_SIZE];"
        " policy_act(x, a); policy_act_batch(40, x, a); return 0; }\n"
    )
    command = [
        "cc",
        "-std=c99",
        "-g",
        "-fsanitize=address,undefined",
        "-o",
        "main",
        "main.c",
        "-lm",
    ]
    (tmp_path / "policy.c").write_text("#define POLICY_OBSERVATION_SIZE 1\n"
        "#define POLICY_ACTION_SIZE 1\nvoid policy_act(float *x, float *a) { *a = *x; }\n"
        "void policy_act_batch(int n, float *x, float *a) { *a = n * *x; }\n")  # fmt: skip
    has_checks = subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
    if not has_checks or subprocess.run(["./main"], cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("no sanitizers here")
    (tmp_path / "policy.c").write_text(c_source(sparse_pair(*widths), {}))
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_sparse_file_is_small():
    """95 % of the weights are zero: less than 8 % of the text of the dense network."""
    sizes = []
    for density in (0.05, 1.0):
        layers = [sparse_linear(b, a, density) for a, b in pairwise((64, 256, 256, 8))]
        policy = policy_of(*[m for layer in layers for m in (layer, nn.ReLU())], shape=(64,))
        sizes.append(len(c_source(policy, {})))
    assert sizes[0] < 0.08 * sizes[1]


@pytest.mark.parametrize("stride", [1, 2, (1, 3)])
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_convolutions(stride, density, tmp_path):
    torch.manual_seed(0)
    first, second = nn.Conv2d(2, 3, (3, 2), stride), nn.Conv2d(3, 4, 2, bias=False)
    with torch.no_grad():
        for layer in (first, second):
            layer.weight *= torch.rand(layer.weight.shape) < density
    x = np.random.default_rng(0).normal(size=(5, 2, 9, 11)).astype(np.float32)
    with torch.no_grad():
        width = second(first(torch.from_numpy(x))).flatten(1).shape[1]
    policy = policy_of(
        first, nn.ReLU(), second, nn.Tanh(), nn.Flatten(), nn.Linear(width, 2), shape=(2, 9, 11)
    )
    expected = policy(torch.from_numpy(x)).numpy()
    for run in compiled(policy, tmp_path):
        np.testing.assert_allclose(run(x), expected, atol=1e-6)


ACTIVATIONS = [
    nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.ELU(0.7), nn.LeakyReLU(0.2),
    d3rlpy.torch_utility.Swish(), nn.Identity(),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
def test_activations(activation, tmp_path):
    torch.manual_seed(0)
    policy = policy_of(nn.Linear(5, 9), activation, nn.Linear(9, 2))
    x = (3 * np.random.default_rng(0).normal(size=(20, 5))).astype(np.float32)
    expected = policy(torch.from_numpy(x)).numpy()
    for run in compiled(policy, tmp_path):
        np.testing.assert_allclose(run(x), expected, atol=1e-6)


UNKNOWN = {
    "GELU": [nn.Linear(5, 2), nn.GELU(approximate="tanh")],
    "LayerNorm": [nn.Linear(5, 2), nn.LayerNorm(2)],
    "Conv2d": [nn.Conv2d(1, 1, 3, dilation=2), nn.Flatten()],
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_layers_are_refused(name):
    with pytest.raises(UnsupportedExportError, match=f"C has no form of {name}"):
        c_network("network_0", nn.Sequential(*UNKNOWN[name]), (5,))


def test_numbers_read_back_exactly():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    for value in [*bits[np.isfinite(bits)], np.float32(0.1), np.float32(1e-45), np.float32(-0.0)]:
        word = c_number(value)
        assert re.fullmatch(r"-?\d+(\.\d+|e[+-]\d+|\.\d+e[+-]\d+)f", word)
        assert np.float32(word[:-1]).tobytes() == np.float32(value).tobytes()
    for value in (np.nan, np.inf):
        with pytest.raises(UnsupportedExportError, match="NaN or infinite"):
            c_number(np.float32(value))


def test_tanh_of_any_number(tmp_path):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    around = np.concatenate([np.linspace(0, 12, 100_001), np.logspace(-20, 38, 1_000)])
    x = np.concatenate([around, -around]).astype(np.float32)[:, None]
    expected = np.tanh(x.astype(np.float64))
    for run in compiled(policy_of(layer, shape=(1,)), tmp_path):
        found = run(x)
        np.testing.assert_allclose(found, expected, rtol=4e-7, atol=0)
        assert np.abs(found).max() < 1


@pytest.mark.parametrize(
    ("density", "width", "lanes"), [(0.05, 64, 64), (1.0, 64, 16), (0.05, 600, 32)]
)
def test_blocks_are_wide_where_sparse_layers_do_the_work(density, width, lanes):
    head = sparse_linear(2, width, 1.0)
    policy = policy_of(sparse_linear(width, 64, density), nn.ReLU(), head, shape=(64,))
    source = c_source(policy, {})
    assert f"#define POLICY_LANES {lanes}\n" in source
    assert f"blocks of {lanes} observations" in source


def test_zeros_of_an_array_are_short():
    text = c_array("w", torch.tensor([0.0, 0.5, -0.0]))
    assert text == "static const float w[3] = {\n    0, 0.5f, -0.0f\n};\n"


SOURCES = {
    "sparse": lambda: built(CONFIGS["td3"][1](), density=0.1),
    "dense": lambda: built(CONFIGS["td3"][1](), density=1.0),
    "pixels": lambda: pruned("pixel-discrete", "bcq"),
    "two critics": lambda: named("double dqn of two critics")[0],
    "constrained": lambda: named("discrete bcq of two critics")[0],
    "scaled": lambda: built(
        CONFIGS["td3"][1](
            observation_scaler=d3rlpy.preprocessing.MinMaxObservationScaler(
                minimum=-np.arange(1.0, 6.0), maximum=np.ones(5)
            ),
            action_scaler=d3rlpy.preprocessing.MinMaxActionScaler(
                minimum=[-2.0, -3.0], maximum=[2.0, 5.0]
            ),
        )
    ),
    "gelu": lambda: built(
        d3rlpy.algos.BCConfig(encoder_factory=VectorEncoderFactory([24], activation="gelu"))
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_source_is_clean_and_always_the_same(name, tmp_path):
    algo = SOURCES[name]()
    source = c_source(acting_policy(algo), {"algorithm": "x"})
    assert source == c_source(acting_policy(algo), {"algorithm": "x"})
    assert source.isascii()
    assert re.findall(r"#include (.*)", source) == ["<math.h>"]
    path = tmp_path / "policy.c"
    path.write_text(source)
    compiler = shutil.which("cc")
    done = subprocess.run(
        [compiler, *CLEAN, "-c", path, "-o", tmp_path / "policy.o"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_comment_says_what_it_is(tmp_path):
    algo, observations = named("td3")
    path = tmp_path / "policy.c"
    export_policy(algo, path, observations, dataset="evil */ #error \\ \n ü")
    text = path.read_text()
    head = text[: text.index("#ifndef")]
    assert "algorithm: TD3" in head
    assert "dataset: evil ? #error \\ ? ?" in head
    assert "% of the 744 weights" in head
    assert "cc -std=c99 -O3" in head
    assert "#define POLICY_OBSERVATION_SIZE 5" in text
    assert "#define POLICY_ACTION_SIZE 2" in text


def test_without_a_compiler_the_file_is_written_unchecked(tmp_path, monkeypatch):
    algo, observations = named("td3")
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "policy.c"
    with pytest.warns(UncheckedExportWarning, match="not run"):
        written = export_policy(algo, path, observations)
    assert (written.n_checked, written.largest_difference) == (0, None)
    assert "not checked" in str(written)
    monkeypatch.undo()
    for run in open_c(path, acting_policy(algo)):
        np.testing.assert_allclose(run(observations), algo.predict(observations), atol=1e-6)


def rollout(environment, act, steps=200):
    env = gymnasium.make(environment)
    observation, _ = env.reset(seed=3)
    total = 0.0
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(
            act(np.asarray(observation, dtype=np.float32)[None])[0]
        )
        total += float(reward)
        if terminated or truncated:
            break
    env.close()
    return total


@pytest.mark.parametrize("environment", ["Pendulum-v1", "CartPole-v1"])
def test_drives_an_environment_as_the_algorithm_does(environment, tmp_path):
    d3rlpy.seed(1)
    encoder = VectorEncoderFactory([32, 32])
    if environment == "Pendulum-v1":
        config = d3rlpy.algos.BCConfig(
            encoder_factory=encoder,
            action_scaler=d3rlpy.preprocessing.MinMaxActionScaler([-2.0], [2.0]),
        )
    else:
        config = d3rlpy.algos.DoubleDQNConfig(encoder_factory=encoder, n_critics=2)
    algo = config.create()
    env = gymnasium.make(environment)
    algo.build_with_env(env)
    with torch.no_grad():
        for module in algo.impl.modules.get_torch_modules().values():
            for parameter in module.parameters():
                if parameter.dim() == 2:
                    parameter *= 3.0 * (torch.rand(parameter.shape) < 0.3)
    observations = np.stack([env.reset(seed=i)[0] for i in range(20)])
    path = tmp_path / "policy.c"
    assert export_policy(algo, path, observations).n_checked == 20
    expected = rollout(environment, algo.predict)
    for run in open_c(path, acting_policy(algo)):
        assert rollout(environment, run) == pytest.approx(expected, rel=1e-4)


def test_images_of_other_shapes(tmp_path):
    encoder = PixelEncoderFactory([[4, 5, 2], [6, 3, 1]], 20)
    config = d3rlpy.algos.BCConfig(encoder_factory=encoder)
    for density in (0.05, 0.5):
        algo = built(config, "pixel-continuous", density)
        observations = dataset("pixel-continuous").observations / np.float32(255)
        export_policy(algo, tmp_path / "policy.c", observations)


def test_vectors_are_computed_in_blocks():
    source = c_source(acting_policy(pruned(VECTOR, "td3_plus_bc")), {})
    assert "network_0_lanes(x, outputs" in source
    assert "POLICY_LANES" not in c_source(acting_policy(pruned("pixel-continuous", "bc")), {})
