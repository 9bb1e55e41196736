"""The exported file on microcontrollers: cross-compiled, linked without libc, run in QEMU."""

import re
import subprocess

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.preprocessing import MinMaxActionScaler, StandardObservationScaler
from torch import nn

from offline_prune.agents import build_agent
from offline_prune.data import load_dataset
from offline_prune.export import acting_policy
from offline_prune.export.agreement import check_agreement
from offline_prune.export.c.c99 import c_source, write_source
from offline_prune.export.c.library import open_c
from offline_prune.export.facts import facts_of
from offline_prune.export.source import Source
from offline_prune.export.written import Writing
from tests.export.agents import named, prune
from tests.export.c.target.boards import BOARDS, build, run
from tests.export.c.test_c99 import policy_of

pytestmark = pytest.mark.slow  # cross compilers and emulators are started


def board(name):
    return pytest.param(
        BOARDS[name],
        marks=pytest.mark.skipif(
            BOARDS[name].missing() is not None, reason=str(BOARDS[name].missing())
        ),
        id=name,
    )


ALL = [board(name) for name in BOARDS]
BARE = [board(name) for name in BOARDS if BOARDS[name].memory]


def vectors(density, *hidden, **settings):
    """Behavioural cloning on a bundled dataset."""
    encoder = VectorEncoderFactory(list(hidden))
    config = d3rlpy.algos.BCConfig(encoder_factory=encoder, **settings)
    data = load_dataset("halfcheetah/medium-small-v0")
    subject = build_agent(data, config).agent
    prune(subject, density)
    return of(subject.algo, np.ascontiguousarray(data.observations[::500], dtype=np.float32))


def of(algo, observations):
    return Source(acting_policy(algo), algo.predict, "algo.predict", {}), observations


def images(channels):
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * channels, 4))
    policy = policy_of(*layers, shape=(3, 8, 8))
    x = np.random.default_rng(0).normal(size=(9, 3, 8, 8)).astype(np.float32)
    return Source(policy, lambda x: policy(torch.from_numpy(x)).numpy(), "the policy", {}), x


POLICIES = {
    "sparse": lambda: vectors(0.2, 64, 64),
    "dense": lambda: vectors(1.0, 24, 24),
    "scaled": lambda: vectors(
        0.2, 32,
        observation_scaler=StandardObservationScaler(np.arange(17.0), np.linspace(0.5, 3, 17)),
        action_scaler=MinMaxActionScaler([-2.0] * 6, [3.0] * 6),
    ),
    "discrete": lambda: of(*named("discrete bcq of two critics")),
    "images": lambda: images(5),
    "images of many channels": lambda: images(16),
}  # fmt: skip


@pytest.mark.parametrize("board", ALL)
@pytest.mark.parametrize("name", POLICIES)
def test_decides_as_the_agent_does(name, board, tmp_path):
    source, observations = POLICIES[name]()
    expected = source.predict(observations)
    assert np.ptp(expected, axis=0).min() > 0
    image = built_of(source, board, tmp_path)
    check_agreement(lambda x: run(image, x).actions, expected, source, observations)


@pytest.mark.parametrize("board", ALL)
@pytest.mark.parametrize("name", ["dense", "sparse", "discrete", "images"])
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_smaller_weights_decide_as_they_do_here(dtype, name, board, tmp_path):
    source, observations = POLICIES[name]()
    image = built_of(source, board, tmp_path, dtype, observations)
    here = open_c(tmp_path / "policy.c", source.policy)[0](observations)
    np.testing.assert_allclose(run(image, observations).actions, here, atol=1e-6)


SELF_TEST = """\
#include "walker.c"
#define POLICY_OBSERVATION_SIZE 1
#define POLICY_ACTION_SIZE 1
static int policy_act(const float *x) { return (int)*x + walker_self_test(); }
"""


@pytest.mark.parametrize("board", ALL)
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_self_test_passes_there_and_fails_with_another_bias(dtype, board, tmp_path):
    source, observations = POLICIES["scaled"]()
    expected = source.predict(observations)
    facts = facts_of(source, observations, observations, expected)
    writing = Writing({}, dtype, observations, facts, "walker")
    write_source(source.policy, tmp_path / "walker.c", writing)
    (tmp_path / "policy.c").write_text(SELF_TEST)
    found = []
    for broken in (False, True):
        if broken:
            text = (tmp_path / "walker.c").read_text()
            start = text.index(" network_0_2_bias[" if dtype == "float32" else " network_0_1_bias[")
            start = text.index("{\n", start) + 2
            number = re.match(r"[^,\n]+", text[start:])[0]
            other = "9.0f" if dtype == "float32" else str(int(number) // 2 - 10_000)
            (tmp_path / "walker.c").write_text(
                text[:start] + text[start:].replace(number, other, 1)
            )
        image = build(board, tmp_path / "policy.c", tmp_path, discrete=True)
        found += run(image, np.zeros((1, 1), np.float32)).actions.tolist()
    assert found == [0, 1]


def built_of(source, board, folder, *smaller):
    (folder / "policy.c").write_text(c_source(source.policy, {}, *smaller))
    return build(board, folder / "policy.c", folder, discrete=source.policy.discrete)


def written(code, folder):
    """A policy of one observation and one action, by hand."""
    (folder / "policy.c").write_text(
        "#define POLICY_OBSERVATION_SIZE 1\n#define POLICY_ACTION_SIZE 1\n"
        f"static void policy_act(const float *x, float *a) {{ {code} *a = *x; }}\n"
    )
    return folder / "policy.c"


@pytest.mark.parametrize("board", BARE)
def test_instructions_and_stack_are_counted(board, tmp_path):
    cost = []
    for n in (1_000, 2_000):
        code = f"volatile char there[{n}]; for (int i = 0; i < {n}; i++) there[i] = 1;"
        image = build(board, written(code, tmp_path), tmp_path, discrete=False)
        cost.append(run(image, np.ones((9, 1), np.float32)))
    per_turn = (cost[1].instructions - cost[0].instructions) / 1_000
    assert per_turn == pytest.approx(round(per_turn), abs=0.02)
    assert 3 <= round(per_turn) <= 6  # count, store, compare, jump, on each of these processors
    assert cost[1].stack - cost[0].stack == 1_000
    assert 1_000 <= cost[0].stack < 1_100


@pytest.mark.parametrize("board", BARE)
def test_a_stack_that_is_too_deep_is_no_answer(board, tmp_path):
    code = "volatile char there[20000]; for (int i = 0; i < 20000; i++) there[i] = 1;"
    image = build(board, written(code, tmp_path), tmp_path, discrete=False)
    with pytest.raises(subprocess.CalledProcessError):
        run(image, np.ones((1, 1), np.float32))


@pytest.mark.parametrize("board", BARE)
@pytest.mark.parametrize(("density", "fits"), [(0.05, True), (1.0, False)])
def test_at_95_percent_a_policy_fits_a_small_part(density, fits, board, tmp_path):
    """256-256 in 64 kB of flash and 8 kB of RAM; dense, it needs five times as much."""
    source, observations = vectors(density, 256, 256)
    if not fits and board is BOARDS["cortex-m0+"]:
        with pytest.raises(subprocess.CalledProcessError):
            built_of(source, board, tmp_path)
        return
    image = built_of(source, board, tmp_path)
    assert (image.flash <= 64 * 1024) == fits
    assert image.static + run(image, observations[:2]).stack <= 8 * 1024
