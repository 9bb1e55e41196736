"""Stable-Baselines3 takes the environments as they are."""

import gymnasium
import pytest

import offline_prune.environments  # noqa: F401 - registers them
from tests.environments import test_atari, test_procgen

env_checker = pytest.importorskip("stable_baselines3.common.env_checker")


@pytest.mark.filterwarnings("ignore:The minimal resolution for an image is 36x36")
@pytest.mark.parametrize(
    "name",
    [
        "MinAtar-Breakout",
        "MinAtar-Seaquest",  # as many channels as rows
        pytest.param("Atari-Pong", marks=test_atari.playable),
        pytest.param("Procgen-StarpilotEasy", marks=test_procgen.playable),
    ],
)
def test_its_own_checks(name):
    env_checker.check_env(gymnasium.make(f"offline_prune/{name}-v0"))
