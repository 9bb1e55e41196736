"""MinAtar's games."""

import sys

import gymnasium
import minatar
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.seeding import np_random

from offline_prune.data.environment import make_registered
from offline_prune.environments import MINATAR_GAMES
from offline_prune.errors import EnvironmentUnavailableError


def _make(name):
    return gymnasium.make(f"offline_prune/MinAtar-{name}-v0")


def _play(environment, seed, steps):
    """Observations and rewards of fixed actions, to the end of the episode or less."""
    actions = np.random.default_rng(0).integers(environment.action_space.n, size=steps)
    observation, _ = environment.reset(seed=seed)
    played = [(observation, 0.0)]
    for action in actions:
        observation, reward, terminated, truncated, _ = environment.step(action)
        played.append((observation, reward))
        if terminated or truncated:
            break
    return played


def _same(a, b):
    return len(a) == len(b) and all(
        np.array_equal(x, y) and r == s for (x, r), (y, s) in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("name", MINATAR_GAMES)
def test_spaces_and_gymnasiums_own_checks(name):
    environment = _make(name)
    check_env(environment.unwrapped, skip_render_check=True)
    channels, height, width = environment.observation_space.shape
    assert (height, width) == (10, 10)
    assert environment.observation_space.dtype == np.uint8
    minimal = minatar.Environment(MINATAR_GAMES[name]).minimal_action_set()
    assert environment.action_space == gymnasium.spaces.Discrete(len(minimal))
    for observation, _ in _play(environment, 0, 20):
        assert observation.shape == (channels, 10, 10)
        assert set(np.unique(observation)) == {0, 255}


@pytest.mark.parametrize("name", MINATAR_GAMES)
def test_it_is_minatars_game(name):
    game = minatar.Environment(MINATAR_GAMES[name])
    game.seed(int(np_random(7)[0].integers(2**32)))
    game.reset()
    environment = _make(name)
    observation, _ = environment.reset(seed=7)
    actions = game.minimal_action_set()
    rng = np.random.default_rng(1)
    for _ in range(200):
        np.testing.assert_array_equal(observation / 255, game.state().transpose(2, 0, 1))
        action = int(rng.integers(len(actions)))
        observation, reward, terminated, truncated, _ = environment.step(action)
        assert (reward, terminated) == game.act(actions[action])
        assert not truncated
        if terminated:
            break


@pytest.mark.parametrize("name", MINATAR_GAMES)
def test_an_episode_depends_on_its_seed_alone(name):
    environment = _make(name)
    played = [_play(environment, seed, 100) for seed in range(30)]
    again = [_play(environment, seed, 100) for seed in reversed(range(30))][::-1]
    assert all(map(_same, played, again))
    assert not all(_same(played[0], other) for other in played[1:])


def test_resets_without_a_seed_go_on_from_the_last_one():
    environment = _make("Breakout")

    def starts():
        environment.reset(seed=3)
        return [environment.reset()[0] for _ in range(12)]

    first = starts()
    np.testing.assert_array_equal(first, starts())
    assert len(np.unique(first, axis=0)) == 2  # the ball comes from the left or the right


def test_sticky_actions_repeat_one_in_ten():
    environment = _make("Breakout")
    stuck = []
    for seed in range(400):
        environment.reset(seed=seed)
        observation, *_ = environment.step(2)  # to the right, from column 4
        stuck.append(observation[0, 9, 4] == 255)  # or stay, the action before the first
    assert 0.05 < np.mean(stuck) < 0.15


def test_patience_ends_where_freeway_ends():
    environment = _make("Freeway")
    assert {_make(name).spec.max_episode_steps for name in MINATAR_GAMES} == {2501}
    environment.reset(seed=0)
    ends = [environment.step(0)[2:4] for _ in range(2501)]
    assert set(ends[:-1]) == {(False, False)}
    assert ends[-1] == (True, True)


def test_a_stored_specification_needs_no_registration(monkeypatch):
    spec = EnvSpec.from_json(_make("Breakout").spec.to_json())
    assert spec.entry_point == "offline_prune.environments.minatar:MinAtar"
    monkeypatch.delitem(gymnasium.registry, spec.id)
    environment = gymnasium.make(spec)
    assert environment.reset(seed=0)[0].shape == (4, 10, 10)


def test_without_minatar(monkeypatch):
    monkeypatch.setitem(sys.modules, "minatar", None)
    with pytest.raises(EnvironmentUnavailableError, match=r"offline-prune\[minatar\]"):
        make_registered("offline_prune/MinAtar-Breakout-v0")
    with pytest.raises(EnvironmentUnavailableError, match="MinAtar-Pong"):
        make_registered("offline_prune/MinAtar-Pong-v0")
