"""What stands before and after the networks, in C."""

import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import ArgmaxRule, MeanRule, Rescale, TanhRule
from offline_prune.export.c.c99 import c_source
from tests.export.c.test_c99 import CLEAN, compiled

VECTOR, IMAGE = (4,), (3, 5, 2)
LOW, HIGH = np.array([-1.0, -0.1, -np.inf]), np.array([0.2, np.inf, 0.3])
CASES = {
    "bounds": (None, MeanRule(), Rescale(0.0, 1.0, 1.0, 0.0, (LOW, HIGH)), VECTOR),
    "one bound": (None, MeanRule(), Rescale(0.0, 1.0, 1.0, 0.0, (-0.2, 0.2)), VECTOR),
    "no bounds": (None, MeanRule(), None, VECTOR),
    "a limit": (None, TanhRule(0.25), Rescale(-1.0, 2.0, 3.0, -1.5), VECTOR),
    "statistics": (
        Rescale(np.arange(4), np.arange(1, 5), 1.0, np.full(4, 0.1), (-1.0, 1.0)),
        TanhRule(),
        None,
        VECTOR,
    ),
    "channels last": (Rescale(0.0, 2.0, 1.0, 0.0), MeanRule(), None, IMAGE),
    "statistics of pixels": (
        Rescale(np.arange(30).reshape(2, 3, 5), 9.0, 1.0, 0.0, (-1.0, 1.0)),
        ArgmaxRule(3),
        None,
        IMAGE,
    ),
}


def policy_of(name):
    scale, rule, action_scale, shape = CASES[name]
    torch.manual_seed(0)
    layers = [nn.Linear(4, 3)]
    if shape == IMAGE:
        layers = [nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(24, 3)]
    return ActingPolicy(
        scale, [nn.Sequential(*layers)], rule, action_scale, observation_shape=shape,
        action_size=3, n_weights=1, n_nonzero=1, channels_last=shape == IMAGE,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_c_does_what_the_policy_does(name, tmp_path):
    policy = policy_of(name)
    x = np.random.default_rng(0).normal(size=(40, *policy.observation_shape)).astype(np.float32)
    expected = policy(torch.from_numpy(x)).numpy()
    for run in compiled(policy, tmp_path):
        np.testing.assert_allclose(run(x), expected, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_source_is_clean(name, tmp_path):
    (tmp_path / "policy.c").write_text(c_source(policy_of(name), {}))
    command = ["cc", *CLEAN, "-c", "policy.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_policy_clips():
    x = torch.tensor([[-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]])
    clipped = CASES["bounds"][2](x)
    torch.testing.assert_close(clipped, torch.tensor([[-1.0, -0.1, -9.0], [0.2, 9.0, 0.3]]))
    torch.testing.assert_close(TanhRule(2.0)(x), torch.tanh(x.clamp(-2.0, 2.0)))
