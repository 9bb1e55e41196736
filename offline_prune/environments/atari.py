"""Atari's games as gymnasium environments, in the frames that value networks see."""

from __future__ import annotations

import re

import gymnasium
import numpy as np
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from numpy.typing import NDArray

from offline_prune.base.arguments import finite_number, whole_number
from offline_prune.errors import EnvironmentUnavailableError, InputError, UnknownNameError

__all__ = ["ATARI_GAMES", "atari", "register_atari"]

ATARI_GAMES = (
    "Alien", "Amidar", "Assault", "Asterix", "Asteroids", "Atlantis", "BankHeist", "BattleZone",
    "BeamRider", "Berzerk", "Bowling", "Boxing", "Breakout", "Centipede", "ChopperCommand",
    "CrazyClimber", "Defender", "DemonAttack", "DoubleDunk", "Enduro", "FishingDerby", "Freeway",
    "Frostbite", "Gopher", "Gravitar", "Hero", "IceHockey", "Jamesbond", "Kangaroo", "Krull",
    "KungFuMaster", "MontezumaRevenge", "MsPacman", "NameThisGame", "Pacman", "Phoenix", "Pitfall",
    "Pong", "PrivateEye", "Qbert", "Riverraid", "RoadRunner", "Robotank", "Seaquest", "Skiing",
    "Solaris", "SpaceInvaders", "StarGunner", "Surround", "Tennis", "TimePilot", "Tutankham",
    "UpNDown", "Venture", "VideoPinball", "WizardOfWor", "YarsRevenge", "Zaxxon",
)  # fmt: skip
"""The 57 games of the literature, and Pacman: in the id ``offline_prune/Atari-<game>-v0``."""


def atari(
    game: str,
    *,
    frames: int = 4,
    sticky: float = 0.25,
    noops: int = 0,
    end_with_life: bool = False,
) -> gymnasium.Env[NDArray[np.uint8], np.int64]:
    """Make a game of the Arcade Learning Environment.

    An observation is the last four steps' images, uint8 of shape (4, 84, 84), the newest
    last and zeros before an episode's first. An action, out of the game's minimal set, is
    held for four frames of the console; an image is the brighter of the last two, in grey
    and shrunk. With the defaults episodes are those of Machado et al., which Dopamine
    takes too: at every frame the action before is repeated with probability 0.25, an
    episode ends with the game and is truncated after 108 000 frames. ``sticky=0, noops=30``
    are Mnih et al.'s.

    The emulator, the wrappers and their random numbers are ale-py's and gymnasium's own.

    Args:
        game: The name of its file in ale-py, e.g. ``"space_invaders"``.
        frames: How many steps' images are one observation. 1 suits datasets, whose
            ``frame_stack`` stacks when a mini-batch is drawn.
        sticky: Probability that the console repeats the action before, in [0, 1).
        noops: At most so many steps of doing nothing begin an episode, at least one; 0
            for none.
        end_with_life: Whether an episode ends with a life; helps training, not evaluation.

    Returns:
        The environment.

    Raises:
        EnvironmentUnavailableError: If ale-py or OpenCV is not installed.
        InputError: If ale-py has no such game or a number is out of range.

    References:
        Machado et al. 2018, Revisiting the Arcade Learning Environment, arXiv 1709.06009.
        Mnih et al. 2015, Human-level control through deep reinforcement learning.
    """
    frames, noops = whole_number("frames", frames, 1), whole_number("noops", noops, 0)
    if not 0 <= finite_number("sticky", sticky) < 1:
        raise InputError(f"sticky is a probability in [0, 1), not {sticky}.")
    try:
        import cv2  # noqa: F401 - gymnasium shrinks images with it
        from ale_py import ALEInterface, LoggerMode
        from ale_py.env import AtariEnv
        from ale_py.roms import get_all_rom_ids
    except ImportError as error:
        raise EnvironmentUnavailableError(
            f"Atari's games need ale-py and OpenCV: pip install 'offline-prune[games]' ({error})"
        ) from error
    games = get_all_rom_ids()
    if game not in games:
        raise UnknownNameError("game of Atari", game, games)
    ALEInterface.setLoggerMode(LoggerMode.Error)  # no banner on stderr
    # Made directly: ids are registered by some releases of ale-py only.
    console = AtariEnv(game, obs_type="grayscale", frameskip=1, repeat_action_probability=sticky)
    images = AtariPreprocessing(console, noop_max=noops, terminal_on_life_loss=end_with_life)
    return FrameStackObservation(images, frames, padding_type="zero")


def register_atari() -> None:
    """Register the games with gymnasium, ``offline_prune/Atari-Pong-v0`` etc.

    ``gymnasium.make`` passes the options of :func:`atari`. As with MinAtar, the entry point
    is a string.
    """
    for name in ATARI_GAMES:
        gymnasium.register(
            id=f"offline_prune/Atari-{name}-v0",
            entry_point="offline_prune.environments.atari:atari",
            kwargs={"game": re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()},
        )
