"""What is exported: a policy, and what says how its file has to act."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """A policy with the agent that it was taken from.

    Attributes:
        policy: What is written.
        predict: What the agent itself does: (B, *observation shape) float32, as the file reads
            them, → actions, (B, A) or (B,) integers.
        reference: What ``predict`` is called where the agent comes from, ``"algo.predict"``.
        about: Label → words for the file's comment: what it came from.
        first_action: What the environment adds to a discrete action that counts from 0.
        observation_words: What each number of a frame is; empty where it is not known.
        action_words: The same of actions.
        frame_stack: Frames that an observation is stacked of, newest last, zeros before an
            episode's first.
    """

    policy: ActingPolicy
    predict: Callable[[NDArray[Any]], NDArray[Any]]
    reference: str
    about: Mapping[str, str]
    first_action: int = 0
    observation_words: tuple[str, ...] = ()
    action_words: tuple[str, ...] = ()
    frame_stack: int = 1
