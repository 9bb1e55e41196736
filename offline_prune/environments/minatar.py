"""MinAtar's games as gymnasium environments, with images as d3rlpy takes them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

__all__ = ["MINATAR_GAMES", "MinAtar", "register_minatar"]

MINATAR_GAMES = {
    "Asterix": "asterix",
    "Breakout": "breakout",
    "Freeway": "freeway",
    "Seaquest": "seaquest",
    "SpaceInvaders": "space_invaders",
}
"""Name in the id ``offline_prune/MinAtar-<name>-v0`` → MinAtar's own name."""

_MAX_EPISODE_STEPS = 2501
"""Freeway's own timer ends it with step 2 501. The other games go on until a mistake, so
that an evaluation of a policy without any would not end: all get Freeway's limit."""


class MinAtar(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """One of MinAtar's five games.

    An observation is an image of shape (channels, 10, 10): channel c is 255 where an
    object of kind c is (paddle, ball, trail and brick in Breakout) and 0 elsewhere, so
    that d3rlpy's pixel scaler makes MinAtar's own 0 and 1 of it. An action is an index
    into the game's minimal action set. As MinAtar has it by default, the action before
    is repeated with probability 0.1 (sticky actions; before the first one it is action
    0, to do nothing) and the difficulty ramps up in the games where it can.

    An episode depends on the seed of its reset and on the actions alone.

    References:
        Young, Tian 2019, MinAtar: An Atari-inspired testbed for thorough and
        reproducible reinforcement learning experiments, arXiv 1903.03176.
    """

    def __init__(self, game: str) -> None:
        """Make the game.

        Args:
            game: MinAtar's name of it, e.g. ``"space_invaders"``.

        Raises:
            ImportError: If MinAtar is not installed.
        """
        try:
            from minatar import Environment
        except ImportError as error:
            raise ImportError(
                "MinAtar is not installed: pip install 'offline-prune[minatar]'"
            ) from error
        self._game = Environment(game)
        self._actions: list[int] = self._game.minimal_action_set()
        height, width, channels = self._game.state_shape()
        self.observation_space = gymnasium.spaces.Box(0, 255, (channels, height, width), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(self._actions))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Of the episode; None goes on with the environment's random state.
            options: Unused.

        Returns:
            The first observation, uint8 of shape (channels, 10, 10), and no info.
        """
        super().reset(seed=seed)
        # The game's random state and last action would outlast the episode.
        self._game.seed(int(self.np_random.integers(2**32)))
        self._game.last_action = 0
        self._game.reset()
        return self._image(), {}

    def step(
        self, action: np.int64 | int
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Take an action.

        Args:
            action: Index into the minimal action set.

        Returns:
            Observation, reward, whether the game is over, false, no info.
        """
        reward, terminal = self._game.act(self._actions[int(action)])
        return self._image(), float(reward), bool(terminal), False, {}

    def _image(self) -> NDArray[np.uint8]:
        state: NDArray[np.bool_] = self._game.state()
        return np.ascontiguousarray(state.transpose(2, 0, 1)).astype(np.uint8) * np.uint8(255)


def register_minatar() -> None:
    """Register the five games with gymnasium, ``offline_prune/MinAtar-Breakout-v0`` etc.

    The entry point is a string: an ``EnvSpec`` stored with a dataset makes its game in
    a process that has not imported this package.
    """
    for name, game in MINATAR_GAMES.items():
        gymnasium.register(
            id=f"offline_prune/MinAtar-{name}-v0",
            entry_point="offline_prune.environments.minatar:MinAtar",
            max_episode_steps=_MAX_EPISODE_STEPS,
            kwargs={"game": game},
        )
