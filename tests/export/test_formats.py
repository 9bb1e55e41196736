"""Every algorithm in every format; the check compares each file with algo.predict."""

import subprocess
import sys

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import QRQFunctionFactory, SimBaEncoderFactory, VectorEncoderFactory

from offline_prune.agents import build_agent
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.errors import UnsupportedExportError
from offline_prune.export import FORMATS, acting_policy, export_policy
from tests.acting.test_policy import ACTING
from tests.export.agents import CONFIGS, VECTOR, built, named, prune, pruned
from tests.ofenet.algorithms import make as make_with_ofenet
from tests.worlds import dataset

pytestmark = pytest.mark.slow  # every file is written, compiled and run

SUFFIXES = tuple(FORMATS)


def run(path, policy, observations):
    """The written file's actions, of every way to run it."""
    return [
        runner(np.ascontiguousarray(observations, dtype=np.float32))
        for runner in FORMATS[path.suffix].open(path, policy)
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("kind", "algo"), ACTING)
def test_files_act_as_the_algorithm_does(kind, algo, suffix, tmp_path):
    algo, observations = pruned(kind, algo), dataset(kind).observations
    written = export_policy(algo, tmp_path / f"policy{suffix}", observations)
    assert written.n_checked == len(observations)
    assert written.n_exported < written.n_weights
    expected = algo.predict(observations)
    ways = run(written.path, acting_policy(algo), observations)
    assert ways
    for found in ways:
        if kind.endswith("discrete"):
            assert len(np.unique(expected)) > 1
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, atol=1e-5)
            assert written.largest_difference <= 1e-5


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", CONFIGS)
def test_further_algorithms(name, suffix, tmp_path):
    algo, observations = named(name)
    written = export_policy(algo, tmp_path / f"policy{suffix}", observations)
    assert written.n_checked == len(observations)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_scaled_observations_and_actions(suffix, tmp_path):
    config = CONFIGS["td3"][1](
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(
            mean=np.arange(5.0), std=np.linspace(0.1, 2.0, 5)
        ),
        action_scaler=d3rlpy.preprocessing.MinMaxActionScaler(
            minimum=[-2.0, -3.0], maximum=[2.0, 5.0]
        ),
    )
    observations = dataset(VECTOR).observations
    written = export_policy(built(config), tmp_path / f"policy{suffix}", observations)
    assert written.largest_difference < 5e-5


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("n", [1, 2, 17, 40])
def test_any_number_of_observations(suffix, n, tmp_path):
    algo, _ = named("td3")
    policy = acting_policy(algo)
    path = tmp_path / f"policy{suffix}"
    x = np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32)
    export_policy(algo, path, x[:1])
    for found in run(path, policy, x):
        np.testing.assert_allclose(found, algo.predict(x), atol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("density", [0.0, 1.0])
def test_nothing_pruned_and_everything_pruned(suffix, density, tmp_path):
    algo = built(CONFIGS["td3"][1](), density=density)
    written = export_policy(algo, tmp_path / f"policy{suffix}", dataset(VECTOR).observations)
    total = 5 * 24 + 24 * 24 + 24 * 2
    assert written.n_weights == total
    assert (written.n_nonzero, written.n_exported) == ((total, total) if density else (0, 8))


UNKNOWN = {
    "layer normalisation": lambda: built(
        d3rlpy.algos.BCConfig(encoder_factory=VectorEncoderFactory([24, 24], use_layer_norm=True))
    ),
    "simba": lambda: built(
        d3rlpy.algos.BCConfig(encoder_factory=SimBaEncoderFactory(12, 20, n_blocks=2))
    ),
    "impala": lambda: built(
        d3rlpy.algos.BCConfig(
            encoder_factory=ImpalaEncoderFactory(filters=[4, 4], feature_size=16),
            observation_scaler=d3rlpy.preprocessing.PixelObservationScaler(),
        ),
        "pixel-continuous",
    ),
    "ofenet": lambda: make_with_ofenet("td3_plus_bc"),
    "quantiles": lambda: (
        build_agent(
            dataset("vector-discrete"),
            d3rlpy.algos.DQNConfig(q_func_factory=QRQFunctionFactory(n_quantiles=4)),
        ).agent.algo
    ),
}
KIND_OF_UNKNOWN = {"impala": "pixel-continuous", "quantiles": "vector-discrete"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", UNKNOWN)
def test_networks_of_unknown_wiring(name, suffix, tmp_path):
    observations = dataset(KIND_OF_UNKNOWN.get(name, VECTOR)).observations[:20]
    path = tmp_path / f"policy{suffix}"
    if suffix == ".c" and name != "impala":
        with pytest.raises(UnsupportedExportError, match=r"C has no form of .* Export to .onnx"):
            export_policy(UNKNOWN[name](), path, observations)
        assert not list(tmp_path.iterdir())
    else:
        assert export_policy(UNKNOWN[name](), path, observations).n_checked == 20


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_files_open_without_this_package(suffix, tmp_path):
    algo, observations = named("discrete bcq of two critics")
    path = tmp_path / f"policy{suffix}"
    export_policy(algo, path, observations)
    np.save(tmp_path / "observations.npy", observations[:9])
    code = {
        ".pt": "import torch; print(torch.jit.load(sys.argv[1])(torch.tensor(x)).tolist())",
        ".onnx": (
            "import onnxruntime as o; print(o.InferenceSession(sys.argv[1])"
            ".run(['action'], {'observation': x})[0].tolist())"
        ),
    }[suffix]
    script = (
        f"import sys, numpy; x = numpy.load(sys.argv[2]); {code};"
        " assert not {'offline_prune', 'd3rlpy'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, path, tmp_path / "observations.npy"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(algo.predict(observations[:9]).tolist())


def test_onnx_says_where_it_comes_from(tmp_path):
    import onnxruntime

    algo, observations = named("td3")
    path = tmp_path / "policy.onnx"
    export_policy(algo, path, observations, dataset="lab/arm-v0")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert about["dataset"] == "lab/arm-v0"
    assert about["algorithm"] == "TD3"
    assert "% of the 744 weights" in about["sparsity"]
    (found,) = session.get_inputs()
    assert (found.name, found.shape) == ("observation", ["batch", 5])
    assert [file.name for file in tmp_path.iterdir()] == ["policy.onnx"]  # weights are inside


def test_parameters_of_the_algorithm_go_on_training(tmp_path):
    """Unlike after d3rlpy's own export, which leaves the policy frozen."""
    from offline_prune.agents import Agent

    algo, observations = named("td3")
    for suffix in SUFFIXES:
        export_policy(algo, tmp_path / f"policy{suffix}", observations)
    policy = algo.impl.modules.policy
    before = [p.detach().clone() for p in policy.parameters()]
    for _ in range(2):  # TD3 steps its actor every second time
        algo.update(dataset(VECTOR).buffer.sample_transition_batch(16))
    assert any(
        not torch.equal(p, value) for p, value in zip(policy.parameters(), before, strict=True)
    )
    prune(Agent.of(algo), 0.3)
