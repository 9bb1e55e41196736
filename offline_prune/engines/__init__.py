"""Engines: how pruned weights are held while d3rlpy trains."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from offline_prune.agents.agent import Agent
from offline_prune.engines.compact import CompactEngine
from offline_prune.engines.engine import Engine
from offline_prune.engines.following import FollowingEngine
from offline_prune.engines.masked import MaskedEngine
from offline_prune.engines.regrowing import RegrowingEngine, Regrowth
from offline_prune.errors import UnknownNameError
from offline_prune.masks.parameterization import STANDARD, Parameterization

__all__ = [
    "ENGINES",
    "CompactEngine",
    "Engine",
    "FollowingEngine",
    "MaskedEngine",
    "RegrowingEngine",
    "Regrowth",
    "check_engine",
    "make_engine",
    "make_following_engine",
]

ENGINES: dict[str, Callable[..., Engine]] = {
    "auto": CompactEngine,
    "masked": MaskedEngine,
    "compact": partial(CompactEngine, kernels="dense"),
    "sparse": partial(CompactEngine, kernels="sparse"),
}
"""Name → engine for an agent and a parameterization.

Examples:
    >>> from offline_prune.engines import ENGINES
    >>> sorted(ENGINES)
    ['auto', 'compact', 'masked', 'sparse']
"""


def check_engine(name: str) -> None:
    """Check the name of an engine.

    Args:
        name: A key of :data:`ENGINES`.

    Raises:
        UnknownNameError: If there is no such engine.

    Examples:
        >>> from offline_prune.engines import check_engine
        >>> check_engine("compakt")
        Traceback (most recent call last):
            ...
        offline_prune.errors.UnknownNameError: Unknown engine 'compakt'. Did you mean ...
    """
    if not isinstance(name, str) or name not in ENGINES:
        raise UnknownNameError("engine", str(name), ENGINES)


def make_engine(name: str, agent: Agent, parameterization: Parameterization = STANDARD) -> Engine:
    """Make an engine.

    Args:
        name: A key of :data:`ENGINES`.
        agent: The agent to hold.
        parameterization: How far the optimizers step in layers that lose weights.

    Returns:
        The engine, nothing attached.

    Raises:
        UnknownNameError: If there is no such engine.
        EngineError: If it cannot run here.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.engines import make_engine
        >>> engine = make_engine("compact", scored.agent)
        >>> engine.attach(scored.mask)
        >>> {role: choice.form for role, choice in engine.forms.items()}
        {'actor': 'dense'}
        >>> engine.detach()
    """
    check_engine(name)
    return ENGINES[name](agent, parameterization=parameterization)


def make_following_engine(
    name: str, agent: Agent, parameterization: Parameterization = STANDARD
) -> FollowingEngine:
    """Make an engine for a mask that may change; arguments and errors as of :func:`make_engine`.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.engines import make_following_engine
        >>> engine = make_following_engine("masked", scored.agent)
        >>> engine.attach(scored.mask, "never")
        >>> engine.detach()
    """
    gone_for_good = make_engine(name, agent, parameterization)
    may_return: Engine = RegrowingEngine(agent, parameterization=parameterization)
    if name != "masked":
        may_return = ENGINES[name](agent, parameterization=parameterization, keep_units=True)
    return FollowingEngine(agent, gone_for_good, may_return, parameterization)
