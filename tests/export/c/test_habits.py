"""What whoever puts a C policy on a robot reads and calls besides ``policy_act``."""

import ctypes
import re
import subprocess

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import VectorEncoderFactory
from torch import nn

from offline_prune import load_dataset
from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import MeanRule, Rescale, TanhRule
from offline_prune.agents import build_agent
from offline_prune.export import acting_policy, export_policy
from offline_prune.export.facts import action_bounds, policy_digest
from tests.export.agents import CONFIGS, VECTOR, built, named, pruned
from tests.export.c.test_c99 import CLEAN
from tests.export.c.test_projects import break_a_bias
from tests.worlds import dataset


def library(path, folder):
    """A C file with warnings as errors, loaded."""
    out = folder / f"{path.stem}-{len(list(folder.iterdir()))}.so"  # none is loaded twice
    command = ["cc", *CLEAN, "-shared", "-fPIC", "-o", out, path, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(out))


AGENTS = {
    "continuous": lambda: named("td3"),
    "discrete": lambda: named("double dqn of two critics"),
    "pixels": lambda: (pruned("pixel-continuous", "bc"), dataset("pixel-continuous").observations),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", AGENTS)
def test_the_self_test_passes_and_fails_with_another_bias(name, tmp_path):
    algo, observations = AGENTS[name]()
    path = tmp_path / "policy.c"
    export_policy(algo, path, observations)
    assert library(path, tmp_path).policy_self_test() == 0
    break_a_bias(path)
    assert library(path, tmp_path).policy_self_test() == 1


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_smaller_weights_are_tested_against_themselves(dtype, tmp_path):
    """A difference far below what the type costs is seen."""
    algo, observations = named("td3")
    path = tmp_path / "policy.c"
    export_policy(algo, path, observations, dtype=dtype)
    assert library(path, tmp_path).policy_self_test() == 0
    text = path.read_text()
    start = text.index("self_test_action[2] = {\n    ") + len("self_test_action[2] = {\n    ")
    value = float(re.match(r"[^f,]+", text[start:])[0])
    moved = f"{text[:start]}{value + 5e-4}f, {text[text.index(',', start) + 1 :]}"
    (tmp_path / "moved.c").write_text(moved)
    assert library(tmp_path / "moved.c", tmp_path).policy_self_test() == 1


def test_the_file_says_what_it_reads_and_gives(tmp_path):
    config = d3rlpy.algos.BCConfig(
        encoder_factory=VectorEncoderFactory([8]),
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(
            mean=np.arange(3.0) - 1, std=np.full(3, 2.0), eps=0.0
        ),
        action_scaler=d3rlpy.preprocessing.MinMaxActionScaler([-2.0], [2.0]),
    )
    algo = build_agent(load_dataset("pendulum/mixture-v0"), config).agent.algo
    export_policy(algo, tmp_path / "policy.c", dataset="pendulum/mixture-v0")
    text = (tmp_path / "policy.c").read_text()
    assert re.search(r"\*    0: -[.\d]+ to [.\d]+, \(x \+ 1\) / 2, x = cos\(theta\)\n", text)
    assert re.search(r"\*    2: -\d.* to \d.*, \(x - 1\) / 2, Angular Velocity\n", text)
    assert " *    0: -2 to 2, Torque\n" in text
    assert "environment: Pendulum-v1" in text
    assert "#define POLICY_ACTION_LOW {-2.0f}\n#define POLICY_ACTION_HIGH {2.0f}\n" in text


CONFIG = {"vector-continuous": d3rlpy.algos.BCConfig, "pixel-discrete": d3rlpy.algos.DQNConfig}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIG)
def test_one_frame_after_another(kind, tmp_path):
    data = dataset(kind).with_frame_stack(3)
    algo = build_agent(data, CONFIG[kind]()).agent.algo
    path = tmp_path / "policy.c"
    export_policy(algo, path, data.observations, frame_stack=3)
    loaded, policy = library(path, tmp_path), acting_policy(algo)
    stack = (ctypes.c_float * int(np.prod(policy.observation_shape)))()
    floats = ctypes.POINTER(ctypes.c_float)
    for first, end in zip(data.starts[:2], data.ends[:2], strict=True):
        loaded.policy_reset(stack)
        for row in range(first, end):
            expected = algo.predict(data.buffer.observations_at(np.array([data.buffer.rows[row]])))[
                0
            ]
            frame = np.ascontiguousarray(data.frames[data.buffer.rows[row]], dtype=np.float32)
            given = frame.ctypes.data_as(floats)
            if policy.discrete:
                assert loaded.policy_step(stack, given) == expected
            else:
                action = np.empty(policy.action_size, np.float32)
                loaded.policy_step(stack, given, action.ctypes.data_as(floats))
                np.testing.assert_allclose(action, expected, atol=1e-5)


def test_the_hash_is_that_of_the_agent(tmp_path):
    algo, observations = named("td3")
    digests = {
        export_policy(algo, tmp_path / f"policy.{suffix}", observations, dtype=dtype).digest
        for suffix, dtype in (("c", "float32"), ("c", "int8"), ("pt", "float32"))
    }
    loaded = library(tmp_path / "policy.c", tmp_path)
    assert digests == {(ctypes.c_char * 65).in_dll(loaded, "policy_hash").value.decode()}
    with torch.no_grad():
        algo.impl.modules.policy._fc.bias[0] += 1e-6
    assert policy_digest(acting_policy(algo)) not in digests


def policy_of(rule, scale):
    return ActingPolicy(
        None, [nn.Linear(3, 2)], rule, scale,
        observation_shape=(3,), action_size=2, n_weights=6, n_nonzero=6,
    )  # fmt: skip


def test_bounds_of_actions():
    to_range = Rescale(-1.0, 2.0, [4.0, 8.0], [-2.0, -5.0])
    low, high = action_bounds(policy_of(TanhRule(), to_range))
    assert (low.tolist(), high.tolist()) == ([-2.0, -5.0], [2.0, 3.0])
    clipped = Rescale(0.0, 1.0, 1.0, 0.0, ([-1.0, -3.0], [1.0, 2.0]))
    assert action_bounds(policy_of(MeanRule(), clipped))[1].tolist() == [1.0, 2.0]
    assert action_bounds(policy_of(MeanRule(), None)) is None
    assert action_bounds(policy_of(MeanRule(), Rescale(0.0, 1.0, 1.0, 0.0, (-np.inf, 1.0)))) is None
    assert action_bounds(acting_policy(named("dqn")[0])) is None


def test_words_of_somebody_leave_no_comment(tmp_path):
    """What a dataset says of itself is no code."""
    from offline_prune.export.c.interface import as_comment

    assert as_comment(["a */ #error", "ü"]) == "/*\n * a ? #error\n * ?\n */"


def test_an_agent_of_a_single_bias(tmp_path):
    """All weights pruned: the self-test still has an action."""
    algo = built(CONFIGS["td3"][1](), density=0.0)
    path = tmp_path / "policy.c"
    export_policy(algo, path, dataset(VECTOR).observations)
    assert library(path, tmp_path).policy_self_test() == 0
