"""Atari's games."""

import importlib.util
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from offline_prune.data.environment import make_registered, trusted_spec
from offline_prune.environments import ATARI_GAMES, atari
from offline_prune.errors import EnvironmentUnavailableError, InputError, UnknownNameError

playable = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("ale_py", "cv2")),
    reason="needs the extra games",
)


def _play(environment, seed, steps):
    """Observations of fixed actions, and whether the episode was over."""
    actions = np.random.default_rng(0).integers(environment.action_space.n, size=steps)
    played = [environment.reset(seed=seed)[0]]
    for action in actions:
        observation, _, terminated, truncated, _ = environment.step(action)
        played.append(observation)
        if terminated or truncated:
            return np.stack(played), True
    return np.stack(played), False


@playable
def test_every_game_is_one_of_ale_py():
    from ale_py.roms import get_all_rom_ids

    games = [
        gymnasium.spec(f"offline_prune/Atari-{name}-v0").kwargs["game"] for name in ATARI_GAMES
    ]
    assert len(set(games)) == len(games) == 58
    assert set(games) <= set(get_all_rom_ids())


@playable
@pytest.mark.parametrize("name", ["Pong", "SpaceInvaders"])
def test_it_is_played(name):
    images, _ = _play(gymnasium.make(f"offline_prune/Atari-{name}-v0"), 0, 20)
    assert images.shape == (21, 4, 84, 84)
    assert images.dtype == np.uint8


@playable
def test_the_newest_frame_is_last_and_zeros_come_first():
    images, _ = _play(gymnasium.make("offline_prune/Atari-Pong-v0"), 0, 10)
    assert not images[0, :3].any()
    assert images[0, 3].any()
    np.testing.assert_array_equal(images[1:, :3], images[:-1, 1:])


@playable
def test_an_episode_depends_on_its_seed_alone():
    environment = atari("pong")
    first, _ = _play(environment, 1, 100)
    other, _ = _play(environment, 2, 100)
    again, _ = _play(environment, 1, 100)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)  # sticky actions


@playable
def test_without_chance_seeds_are_alike():
    environment = atari("pong", sticky=0)
    np.testing.assert_array_equal(_play(environment, 1, 50)[0], _play(environment, 2, 50)[0])


@playable
def test_a_stored_specification_makes_the_same_game():
    environment = gymnasium.make("offline_prune/Atari-Pong-v0", frames=2, sticky=0)
    spec = trusted_spec(EnvSpec.from_json(environment.spec.to_json()))
    again = make_registered(spec)
    np.testing.assert_array_equal(_play(environment, 0, 20)[0], _play(again, 1, 20)[0])


@playable
def test_options_are_the_wrappers():
    assert atari("pong", frames=1).observation_space.shape == (1, 84, 84)
    begun = atari("pong", sticky=0, noops=30)
    starts = {begun.reset(seed=seed)[0].tobytes() for seed in range(8)}
    assert len(starts) > 1
    one_life, over = _play(atari("breakout", end_with_life=True), 0, 500)
    assert over
    assert len(one_life) < len(_play(atari("breakout"), 0, 500)[0])


@playable
def test_nothing_is_printed(capfd):
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Info)  # as in a new process
    atari("pong").reset(seed=0)
    assert capfd.readouterr() == ("", "")


@playable
def test_wrong_arguments():
    with pytest.raises(UnknownNameError, match="Did you mean 'pong'"):
        atari("Pong")
    with pytest.raises(InputError, match="frames"):
        atari("pong", frames=0)
    with pytest.raises(InputError, match="sticky"):
        atari("pong", sticky=1.0)


@pytest.mark.parametrize("missing", ["ale_py", "cv2"])
def test_without_the_extra(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EnvironmentUnavailableError, match=r"offline-prune\[games\]"):
        make_registered("offline_prune/Atari-Pong-v0")
