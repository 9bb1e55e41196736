"""Procgen's games."""

import ctypes.util
import importlib.util
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from offline_prune.data.environment import make_registered
from offline_prune.environments import PROCGEN_GAMES, Procgen
from offline_prune.errors import EnvironmentUnavailableError, InputError, UnknownNameError

needs_envpool = pytest.mark.skipif(
    importlib.util.find_spec("envpool") is None, reason="needs the extra games"
)
needs_qt = pytest.mark.skipif(
    ctypes.util.find_library("Qt5Gui") is None,
    reason="envpool draws with Qt 5, which is missing: make system-packages",
)
playable = [needs_envpool, needs_qt]


def _levels(environment, seed, n=20):
    """Levels of the first episodes after a seeded reset."""
    first = environment.reset(seed=seed)[1]["level_seed"]
    return [first] + [environment.reset()[1]["level_seed"] for _ in range(n - 1)]


def _play(environment, seed, steps):
    """Observations and rewards of fixed actions, over the ends of episodes."""
    actions = np.random.default_rng(0).integers(15, size=steps)
    played = [environment.reset(seed=seed)[0]]
    rewards = []
    for action in actions:
        observation, reward, terminated, truncated, _ = environment.step(action)
        played.append(observation)
        rewards.append(reward)
        if terminated or truncated:
            played.append(environment.reset()[0])
    return np.stack(played), rewards


class TestPlaying:
    pytestmark = playable

    def test_gymnasiums_own_checks(self):
        check_env(Procgen("Coinrun"), skip_render_check=True)

    @pytest.mark.parametrize("game", PROCGEN_GAMES)
    def test_every_game_is_played(self, game):
        environment = gymnasium.make(f"offline_prune/Procgen-{game}Easy-v0")
        images, _ = _play(environment, 0, 20)
        assert images.shape[1:] == (3, 64, 64)
        assert len(np.unique(images)) > 20

    def test_an_episode_depends_on_its_seed_alone(self):
        a, b = Procgen("Starpilot"), Procgen("Starpilot")
        images, rewards = _play(a, 7, 300)
        _play(b, 8, 50)
        again, same = _play(b, 7, 300)
        np.testing.assert_array_equal(images, again)
        assert rewards == same
        assert not np.array_equal(images[0], _play(b, 8, 1)[0][0])

    def test_levels_to_train_on_and_others(self):
        name = "offline_prune/Procgen-CoinrunEasy-v0"
        train = gymnasium.make(name, num_levels=10)
        other = gymnasium.make(name, num_levels=10, start_level=10)
        assert set(_levels(train, 0, 100)) == set(range(10))
        assert set(_levels(other, 0, 100)) == set(range(10, 20))
        assert min(_levels(gymnasium.make(name), 0)) > 20

    def test_modes_differ(self):
        easy, hard = (
            gymnasium.make(f"offline_prune/Procgen-Coinrun{mode}-v0", num_levels=1)
            for mode in ("Easy", "Hard")
        )
        assert not np.array_equal(easy.reset(seed=0)[0], hard.reset(seed=0)[0])

    def test_the_coin_is_success_and_seen(self):
        environment = Procgen("Coinrun")
        before, level = environment.reset(seed=0)
        actions = np.random.default_rng(0).integers(6, 9, size=10_000)  # to the right, often up
        for action in actions:
            image, reward, terminated, truncated, info = environment.step(action)
            if terminated or truncated:
                assert info["success"] == (reward > 0)
                assert info["level_seed"] == level["level_seed"]
                assert np.abs(image.astype(int) - before).mean() < 40  # no other level's
                if info["success"]:
                    break
                image, level = environment.reset()
            before = image
        assert info["success"]

    def test_time_that_is_up_truncates(self):
        environment = Procgen("Coinrun")
        environment.reset(seed=0)
        steps = [environment.step(4) for _ in range(1000)]  # action 4: to do nothing
        assert {step[2:4] for step in steps[:-1]} == {(False, False)}
        assert steps[-1][2:4] == (False, True)
        assert not steps[-1][4]["success"]

    def test_wrong_arguments(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'Coinrun'"):
            Procgen("CoinRun")
        with pytest.raises(UnknownNameError, match="Easy, Hard"):
            Procgen("Coinrun", mode="Memory")
        with pytest.raises(InputError, match="num_levels"):
            Procgen("Coinrun", num_levels=-1)


def test_without_envpool(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(EnvironmentUnavailableError, match=r"'offline-prune\[games\]'$"):
        make_registered("offline_prune/Procgen-CoinrunEasy-v0")


@needs_envpool
def test_without_qt(monkeypatch):
    import envpool  # noqa: F401 - whole, before a part of it goes

    monkeypatch.setitem(sys.modules, "envpool.procgen", None)
    with pytest.raises(EnvironmentUnavailableError, match="libqt5gui5"):
        Procgen("Coinrun")
