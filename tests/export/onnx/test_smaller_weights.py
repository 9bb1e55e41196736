"""ONNX with weights of float16 and int8."""

import logging
import platform
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import Rescale, TanhRule
from offline_prune.errors import ExportError, UnsupportedExportError
from offline_prune.export import export_policy
from offline_prune.export.onnx.half import half_weights
from offline_prune.export.onnx.onnx_format import ONNX
from offline_prune.export.written import Writing
from tests.export.agents import CONFIGS, named, pruned, too_coarse_for_bytes
from tests.export.c.test_c99 import policy_of, sparse_linear
from tests.worlds import dataset

SMALL = ("float16", "int8")


def written(policy, x, dtype, folder):
    path = folder / f"{dtype}.onnx"
    ONNX.write(policy, path, Writing({}, dtype, x))
    onnx.checker.check_model(path, full_check=True)
    return path


def session(path, level, kept=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3  # it warns that what it kept is for this machine
    options.intra_op_num_threads = 1
    if kept is not None:
        options.optimized_model_filepath = str(kept)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def inputs(n, *shape):
    return (2 * np.random.default_rng(0).normal(size=(n, *shape))).astype(np.float32)


def linear(density=1.0):
    layers = [sparse_linear(b, a, density) for a, b in ((9, 40), (40, 30), (30, 3))]
    return policy_of(*[m for layer in layers for m in (layer, nn.ReLU())][:-1], shape=(9,))


def image():
    torch.manual_seed(0)
    first, second = nn.Conv2d(2, 8, 3), nn.Conv2d(8, 6, 3, stride=2)
    return policy_of(
        first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(54, 3), shape=(2, 9, 9)
    )


NETWORKS = {"linear": linear, "sparse": lambda: linear(0.1), "image": image}
LEVELS = {
    "as it is": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "optimised": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("dtype", "allowed"), [("float16", 2e-3), ("int8", 0.04)])
def test_close_to_the_policy_however_it_is_run(dtype, allowed, name, level, tmp_path):
    policy = NETWORKS[name]()
    x = inputs(200, *policy.observation_shape)
    path = written(policy, x, dtype, tmp_path)
    (found,) = session(path, LEVELS[level]).run(None, {"observation": x})
    apart = np.abs(found - policy(torch.from_numpy(x)).numpy())
    assert 0 < apart.max() < allowed


@pytest.mark.parametrize(
    ("name", "kernel"), [("linear", "QGemm"), ("sparse", "QGemm"), ("image", "QLinearConv")]
)
def test_onnx_runtime_computes_in_integers(name, kernel, tmp_path):
    policy = NETWORKS[name]()
    path = written(policy, inputs(50, *policy.observation_shape), "int8", tmp_path)
    session(path, LEVELS["optimised"], tmp_path / "kept.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "kept.onnx").graph.node]
    assert kinds.count(kernel) == 2
    in_floats = [kind for kind in kinds if kind.endswith(("Gemm", "Conv")) and kind[0] != "Q"]
    assert len(in_floats) == (kernel == "QGemm")  # what reads a vector of an observation
    assert "ScatterElements" not in kinds


RUN = """
import sys, numpy, onnxruntime
path, inputs, outputs = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
numpy.save(outputs, session.run(None, {"observation": numpy.load(inputs)})[0])
"""


@pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which("qemu-x86_64") is None,
    reason="QEMU runs this Python on an older x86-64 processor",
)
@pytest.mark.parametrize("name", ["linear", "image"])
def test_a_processor_that_cuts_sums_of_two_products_computes_the_same(name, tmp_path):
    """Haswell, of 2013, adds two products in 16 bits; those with VNNI four in 32."""
    policy = NETWORKS[name]()
    x = inputs(200, *policy.observation_shape)
    path = written(policy, x, "int8", tmp_path)
    np.save(tmp_path / "x.npy", x)
    subprocess.run(
        ["qemu-x86_64", "-cpu", "Haswell", sys.executable, "-c", RUN,
         path, tmp_path / "x.npy", tmp_path / "y.npy"],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    (here,) = session(path, LEVELS["optimised"]).run(None, {"observation": x})
    # A float that lies between two steps may be rounded the other way: some thousandths.
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), here, atol=0.01, rtol=0.0)


@pytest.mark.parametrize("name", NETWORKS)
def test_two_products_never_leave_16_bits(name, tmp_path):
    policy = NETWORKS[name]()
    x = inputs(50, *policy.observation_shape)
    found = onnx.load(written(policy, x, "int8", tmp_path)).graph.initializer
    weights = [numpy_helper.to_array(t) for t in found if t.name.endswith("weight_quantized")]
    assert weights
    assert all(2 * 255 * np.abs(w.astype(int)).max() < 2**15 for w in weights)


def test_numbers_of_very_different_reach(tmp_path):
    """One entry of the observation is a thousand times as large as the others."""
    policy, x = linear(), inputs(200, 9)
    x[:, 3] *= 1000.0
    with torch.no_grad():
        policy.networks[0][0].weight[:, 3] /= 1000.0
    (found,) = session(written(policy, x, "int8", tmp_path), LEVELS["optimised"]).run(
        None, {"observation": x}
    )
    assert np.abs(found - policy(torch.from_numpy(x)).numpy()).max() < 0.04


def test_weights_have_a_step_an_output(tmp_path):
    policy = linear()
    model = onnx.load(written(policy, inputs(50, 9), "int8", tmp_path))
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    weight = policy.networks[0][2].weight.numpy()
    steps = found["networks.0.2.weight_scale"]
    np.testing.assert_allclose(steps, np.abs(weight).max(axis=1) / 64, rtol=1e-6)
    rounded = found["networks.0.2.weight_quantized"]
    np.testing.assert_array_equal(rounded, np.rint(weight / steps[:, None]))
    assert {node.op_type for node in model.graph.node} == {
        "QuantizeLinear", "DequantizeLinear", "Gemm", "Relu", "Tanh", "Cast"
    }  # fmt: skip


def test_what_is_beyond_the_data_saturates(tmp_path):
    policy, x = linear(), inputs(50, 9)
    run = session(written(policy, x, "int8", tmp_path), LEVELS["optimised"]).run
    far, further = (run(None, {"observation": np.float32(10.0**k) * x})[0] for k in (7, 12))
    np.testing.assert_array_equal(far, further)
    assert np.isfinite(far).all()


def test_half_weights_are_those_of_numpy(tmp_path):
    policy, x = linear(), inputs(50, 9)
    run = session(written(policy, x, "float16", tmp_path), LEVELS["optimised"]).run
    with torch.no_grad():
        for layer in policy.networks[0][::2]:
            layer.weight.copy_(torch.tensor(layer.weight.numpy().astype(np.float16)))
    expected = policy(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run(None, {"observation": x})[0], expected, atol=1e-6)


def test_a_scaler_is_no_weight(tmp_path):
    """It has an entry a pixel here, and stays as it is."""
    scale = Rescale(np.full((2, 9, 9), 0.1), np.full((2, 9, 9), 3.0), 1.0, 0.0)
    plain = image()
    policy = ActingPolicy(
        scale, list(plain.networks), TanhRule(), None,
        observation_shape=(2, 9, 9), action_size=3, n_weights=1, n_nonzero=1,
    )  # fmt: skip
    model = onnx.load(written(policy, inputs(20, 2, 9, 9), "float16", tmp_path))
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert kinds["observation_scale.b"] == onnx.TensorProto.FLOAT
    assert kinds["networks.0.0.weight.half"] == onnx.TensorProto.FLOAT16


def test_a_weight_too_large_for_half_is_refused(tmp_path):
    policy = linear()
    ONNX.write(policy, tmp_path / "policy.onnx", Writing({}))
    model = onnx.load(tmp_path / "policy.onnx")
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight.flat[0] = 1e5
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(weight, model.graph.initializer[0].name)
    )
    with pytest.raises(UnsupportedExportError, match="float16 ends at 65504"):
        half_weights(model)


@pytest.mark.parametrize(("density", "most"), [(1.0, (0.52, 0.33)), (0.05, (0.75, 0.85))])
def test_smaller_weights_are_smaller_files(density, most, tmp_path):
    layers = [sparse_linear(b, a, density) for a, b in ((64, 256), (256, 256), (256, 4))]
    stack = nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())][:-1])
    policy = ActingPolicy(
        None, [stack], TanhRule(), None,
        observation_shape=(64,), action_size=4, n_weights=1, n_nonzero=1,
    )  # fmt: skip
    whole, half, integers = (
        written(policy, inputs(20, 64), dtype, tmp_path).stat().st_size
        for dtype in ("float32", *SMALL)
    )
    assert half < most[0] * whole
    assert integers < most[1] * whole


@pytest.mark.slow
@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("name", [*CONFIGS, "pixels", "discrete pixels"])
def test_agents(name, dtype, tmp_path):
    if name in CONFIGS:
        algo, observations = named(name)
    else:
        kind = "pixel-discrete" if "discrete" in name else "pixel-continuous"
        algo, observations = pruned(kind, "bc"), dataset(kind).observations
    found = export_policy(algo, tmp_path / "policy.onnx", observations, dtype=dtype)
    assert (found.dtype, found.n_checked) == (dtype, len(observations))


def test_what_is_too_coarse_is_refused(tmp_path):
    algo, x = too_coarse_for_bytes()
    with pytest.raises(ExportError, match=r'is allowed.*or take dtype="float16"'):
        export_policy(algo, tmp_path / "policy.onnx", x, dtype="int8")
    assert not list(tmp_path.iterdir())


def test_torchscript_has_floats_alone(tmp_path):
    algo, observations = named("td3")
    with pytest.raises(UnsupportedExportError, match=r"TorchScript is written .* float32 alone"):
        export_policy(algo, tmp_path / "policy.pt", observations, dtype="int8")


def test_nothing_is_said_and_no_logger_is_changed(tmp_path, capfd):
    root = logging.getLogger()
    before = list(root.handlers), list(root.filters), root.level
    written(linear(), inputs(20, 9), "int8", tmp_path)
    assert capfd.readouterr() == ("", "")
    assert (root.handlers, root.filters, root.level) == before
