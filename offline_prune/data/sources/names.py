"""Which array of a source is which field of a transition."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from typing import Any

from offline_prune.base.arguments import shown
from offline_prune.data.episodes import DatasetWarning
from offline_prune.errors import DatasetError

__all__ = ["keys_of_fields"]

_SPELLINGS = {
    "observations": ("observations", "obs"),
    "actions": ("actions", "action"),
    "rewards": ("rewards", "reward"),
    "terminals": ("terminals", "done", "terminations", "terminated"),
    "timeouts": ("timeouts", "truncated", "truncations", "episode_terminals"),
    "next_observations": ("next_observations", "next_obs"),
    "starts": ("index",),
}
"""Field → its names in D4RL, NeoRL-2, gymnasium and d3rlpy."""

_REQUIRED = ("observations", "actions", "rewards", "terminals")

_ASIDE = ("infos", "metadata", "discrete_action", "version", "create_mask", "mask_size")
"""What D4RL's and d3rlpy's files hold besides, which is no part of a transition."""


def keys_of_fields(keys: Iterable[Any], where: str) -> dict[str, str]:
    """Find the fields of a transition among the names of arrays.

    Args:
        keys: The names.
        where: What to call the source in a message.

    Returns:
        Field → the name that it has there: ``observations``, ``actions``, ``rewards``,
        ``terminals``, and where they are given ``timeouts`` (which
        ``episode_terminals`` may stand for), ``next_observations`` and ``starts``.

    Raises:
        DatasetError: If a field that every source has is missing, or one has two names.

    Warns:
        DatasetWarning: If there is something that is no field; it is left aside.
    """
    keys = list(keys)
    found = {field: [k for k in keys if k in names] for field, names in _SPELLINGS.items()}
    for field, names in found.items():
        if len(names) > 1:
            raise DatasetError(
                f"{where}: {' and '.join(names)} are names of one field, {field}. Expected one"
                " of them: leave the others out."
            )
    missing = [field for field in _REQUIRED if not found[field]]
    if missing:
        raise DatasetError(
            f"{where} lacks {', '.join(missing)}; it holds {_listed(keys) or 'nothing'}. Expected"
            " observations, actions, rewards and terminals in the names of D4RL, NeoRL-2 or"
            " d3rlpy; terminals of a task that never terminates are 0 everywhere."
        )
    chosen = {field: names[0] for field, names in found.items() if names}
    aside = [k for k in keys if k not in chosen.values() and str(k).split("/")[0] not in _ASIDE]
    if aside:
        warnings.warn(
            f"{where}: {_listed(aside)} {'are' if len(aside) > 1 else 'is'} left aside, being no"
            f" field that is known here ({', '.join(itertools.chain(*_SPELLINGS.values()))}).",
            DatasetWarning,
            stacklevel=2,
        )
    return chosen


def _listed(keys: list[Any]) -> str:
    names = sorted(k if isinstance(k, str) else shown(k) for k in keys)
    text = ", ".join(names)
    return text if len(text) <= 300 else f"{text[:297]}..."
