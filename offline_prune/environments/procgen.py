"""Procgen's games as gymnasium environments: the levels to train on, and others."""

from __future__ import annotations

import functools
from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from offline_prune.base.arguments import whole_number
from offline_prune.errors import EnvironmentUnavailableError, UnknownNameError

__all__ = ["PROCGEN_GAMES", "PROCGEN_MODES", "Procgen", "register_procgen"]

PROCGEN_GAMES = (
    "Bigfish", "Bossfight", "Caveflyer", "Chaser", "Climber", "Coinrun", "Dodgeball", "Fruitbot",
    "Heist", "Jumper", "Leaper", "Maze", "Miner", "Ninja", "Plunder", "Starpilot",
)  # fmt: skip
"""Game in the id ``offline_prune/Procgen-<game><mode>-v0``."""

PROCGEN_MODES = ("Easy", "Hard")
"""Difficulties that every game has."""


class Procgen(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """One of Procgen's sixteen games, played by envpool.

    An observation is an image, uint8 of shape (3, 64, 64): red, green, blue. An action is
    one of the console's 15. A level is drawn with every reset, uniformly out of those
    asked for. Where the game's time is up, the episode is truncated. ``info`` has the
    number of the level, ``level_seed``, and with an episode's last step whether its goal
    was reached, ``success``.

    An episode depends on the seed of its reset and on the actions alone.

    References:
        Cobbe, Hesse, Hilton, Schulman 2020, Leveraging procedural generation to benchmark
        reinforcement learning, arXiv 1912.01588. Weng et al. 2022, EnvPool, arXiv
        2206.10558.
    """

    def __init__(
        self,
        game: str,
        *,
        mode: Literal["Easy", "Hard"] = "Easy",
        num_levels: int = 0,
        start_level: int = 0,
    ) -> None:
        """Make the game.

        Args:
            game: One of ``PROCGEN_GAMES``.
            mode: One of ``PROCGEN_MODES``.
            num_levels: How many levels there are; 0 are all, whatever ``start_level`` is.
                The paper trains on the first 200 of the easy mode or the first 500 of the
                hard one, and tests on all.
            start_level: The first one.

        Raises:
            EnvironmentUnavailableError: If envpool or Qt 5, with which it draws, is not
                installed.
            InputError: If there is no such game or mode, or a number is negative.
        """
        if game not in PROCGEN_GAMES:
            raise UnknownNameError("game of Procgen", game, PROCGEN_GAMES)
        if mode not in PROCGEN_MODES:
            raise UnknownNameError("mode of Procgen", mode, PROCGEN_MODES)
        try:
            import envpool
        except ImportError as error:
            raise EnvironmentUnavailableError(
                "Procgen is played by envpool, which is not installed: pip install"
                " 'offline-prune[games]'"
            ) from error
        self._make = functools.partial(
            envpool.make,
            f"{game}{mode}-v0",
            env_type="gymnasium",
            num_envs=1,
            num_threads=1,
            num_levels=whole_number("num_levels", num_levels, 0),
            start_level=whole_number("start_level", start_level, 0),
        )
        try:
            self._pool = self._make(seed=self._own_seed())
        except ImportError as error:
            raise EnvironmentUnavailableError(
                "envpool draws Procgen with Qt 5, which is not installed: apt-get install"
                f" libqt5gui5, or your system's package of libQt5Gui.so.5 ({error})"
            ) from error
        self.observation_space = gymnasium.spaces.Box(0, 255, (3, 64, 64), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(15)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode on a level drawn anew.

        Args:
            seed: Of the episode; None goes on with the environment's random state.
            options: Unused.

        Returns:
            The first observation, uint8 of shape (3, 64, 64), and the level's number.
        """
        super().reset(seed=seed)
        if seed is not None:  # envpool takes a seed only when it makes the game; that is quick
            self._pool = self._make(seed=self._own_seed())
        observation, info = self._pool.reset()
        return observation[0], {"level_seed": int(info["level_seed"][0])}

    def step(
        self, action: np.int64 | int
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Take an action.

        Args:
            action: A button or two of them, in [0, 15).

        Returns:
            Observation, reward, whether the level is over, whether time is up, and the
            level's number.
        """
        observation, reward, terminated, truncated, told = self._pool.step(
            np.array([action], np.int32)
        )
        info: dict[str, Any] = {"level_seed": int(told["level_seed"][0])}
        if terminated[0] or truncated[0]:
            info["success"] = bool(told["prev_level_complete"][0])
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def _own_seed(self) -> int:
        return int(self.np_random.integers(2**31))


def register_procgen() -> None:
    """Register the games with gymnasium, ``offline_prune/Procgen-CoinrunEasy-v0`` etc.

    All levels are played unless ``gymnasium.make`` gets others. As with MinAtar, the entry
    point is a string.
    """
    for game in PROCGEN_GAMES:
        for mode in PROCGEN_MODES:
            gymnasium.register(
                id=f"offline_prune/Procgen-{game}{mode}-v0",
                entry_point="offline_prune.environments.procgen:Procgen",
                kwargs={"game": game, "mode": mode},
            )
