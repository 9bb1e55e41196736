"""From arrays of any spelling to the fields of N transitions, checked."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.base.arguments import in_one_line, shown
from offline_prune.data.episodes import DatasetWarning
from offline_prune.data.sources.names import keys_of_fields
from offline_prune.errors import DatasetError

__all__ = ["Fields", "cast", "fields_of", "flags_of"]

_KINDS = {"observations": "iuf", "next_observations": "iuf", "actions": "iuf", "starts": "iu"}


@dataclass(frozen=True)
class Fields:
    """N rows of transitions, one after another.

    Attributes:
        where: What to call the source in a message.
        observations: (N, …) bytes or floats.
        actions: (N,) integers, or (N, size) float32.
        rewards: (N,) float32.
        terminals: (N,) flags of rows at which the task ended.
        timeouts: (N,) flags of rows at which an episode was cut off; None where nothing is
            said of that.
        next_observations: As ``observations``; None where they are not recorded.
        rewards_recorded: Whether the source has rewards; else they are 0.
    """

    where: str
    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminals: NDArray[np.bool_]
    timeouts: NDArray[np.bool_] | None = None
    next_observations: NDArray[Any] | None = None
    rewards_recorded: bool = True


def fields_of(arrays: Mapping[str, Any], where: str) -> Fields:
    """Read the fields of a mapping of arrays, an open HDF5 file or npz archive among them.

    Args:
        arrays: Name → array, N rows each. ``terminals``, ``done``, ``terminations`` and
            ``terminated`` say where the task ended; ``timeouts``, ``truncated`` and
            ``truncations`` where an episode was cut off; d3rlpy's ``episode_terminals``
            where one ended in either way. ``index`` holds the rows at which episodes
            begin, as in NeoRL.
        where: What to call them in a message.

    Returns:
        The fields.

    Raises:
        DatasetError: If one is missing, has two names, is no array of numbers or of another
            shape than the others; says which.

    Warns:
        DatasetWarning: If an array is left aside; if ``done`` looks like a time limit.
    """
    keys = keys_of_fields(arrays, where)
    found = {field: _array(arrays, key, field, where) for field, key in keys.items()}
    starts = found.pop("starts", None)
    n = len(found["observations"])
    wrong = {keys[field]: len(values) for field, values in found.items() if len(values) != n}
    if wrong or n == 0:
        raise DatasetError(
            f"{where}: every field needs the {n} rows of observations, and at least one;"
            f" found {wrong or 'none'}."
        )
    terminals = flags_of(found["terminals"], keys["terminals"], where)
    timeouts = None
    if "timeouts" in found:
        timeouts = flags_of(found["timeouts"], keys["timeouts"], where)
        if keys["timeouts"] == "episode_terminals":  # ends of either sort
            timeouts &= ~terminals
    if starts is not None:
        ends = _ends_before(where, keys["starts"], starts, n) & ~terminals
        timeouts = ends if timeouts is None else timeouts | ends
    if keys["terminals"] == "done" and (timeouts is None or not timeouts.any()):
        _mention_time_limit(where, terminals)
    observations = found["observations"]
    if observations.dtype.kind in "iu" and observations.dtype != np.uint8:
        observations = observations.astype(np.float32)
    return Fields(
        where,
        observations,
        _actions(where, keys["actions"], found["actions"]),
        _rewards(where, keys["rewards"], found["rewards"]),
        terminals,
        timeouts,
        _following(where, found.get("next_observations"), observations),
    )


def _array(arrays: Mapping[str, Any], key: str, field: str, where: str) -> NDArray[Any]:
    """One of the arrays: numbers, one row a step."""
    try:
        value = arrays[key]
        values = np.asarray(None if isinstance(value, Mapping) else value)
    except Exception as error:  # whatever a reader of damaged files or an array may raise
        raise DatasetError(
            f"{where}: {key} cannot be read as an array of numbers: {in_one_line(error)}. Expected"
            " one array, one row a step, without Python objects."
        ) from error
    kinds = _KINDS.get(field, "biuf")
    if values.dtype.kind not in kinds or not values.ndim:
        found = shown(value) if values.dtype.kind == "O" and not values.ndim else values.dtype
        raise DatasetError(
            f"{where}: {key} is {found} of shape {values.shape}; expected an array of"
            f" {'numbers' if 'b' in kinds else 'floats or integers'}, one row a step."
        )
    return values


def cast(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Cast; what is not finite any more is refused with its step before anything is written.

    Args:
        values: Numbers.
        dtype: What they become.

    Returns:
        The same shape.
    """
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def flags_of(values: NDArray[Any], name: str, where: str) -> NDArray[np.bool_]:
    """Numbers as flags.

    Args:
        values: (N,) or (N, 1), each 0 or 1.
        name: Of the array, for a message.
        where: It comes from, for a message.

    Returns:
        (N,) flags.

    Raises:
        DatasetError: If they are something else; names the row.
    """
    n = len(values)
    if values.size == n:
        values = values.reshape(n)
        odd = np.flatnonzero((values != 0) & (values != 1))
        if not len(odd):
            flags: NDArray[np.bool_] = values == 1
            return flags
        raise DatasetError(
            f"{where}, row {odd[0]}: {name} holds {values[odd[0]]}, expected a flag, 0 or 1."
        )
    raise DatasetError(
        f"{where}: {name} is of shape {values.shape}; expected one flag a row, shape {(n,)}."
    )


def _ends_before(where: str, name: str, starts: NDArray[Any], n: int) -> NDArray[np.bool_]:
    """Flags of the rows before those at which episodes begin; N may close the list."""
    rows = [int(row) for row in starts.ravel()]
    rising = all(a < b for a, b in itertools.pairwise([-1, *rows, n + 1]))
    if starts.ndim != 1 or not rising or 1 < n == len(rows):
        raise DatasetError(
            f"{where}: {name} is {shown(rows[:20])} of shape {starts.shape}; expected the rows at"
            f" which episodes begin, rising from 0 to {n}. Leave it out if it counts something"
            " else, and mark ends in timeouts."
        )
    ends = np.zeros(n, dtype=bool)
    ends[[row - 1 for row in rows if row]] = True
    return ends


def _mention_time_limit(where: str, terminals: NDArray[np.bool_]) -> None:
    """Older environments say ``done`` where time ran out, too; NeoRL-2's do not."""
    lengths = np.diff(np.flatnonzero(terminals), prepend=-1)
    if len(lengths) > 1 and lengths[0] > 1 and (lengths == lengths[0]).all():
        warnings.warn(
            f"{where}: all {len(lengths)} episodes are done after exactly {lengths[0]} steps. They"
            " are read as terminated, so nothing is expected after them; if it was time that ran"
            " out, give that array as timeouts, and terminals of 0.",
            DatasetWarning,
            stacklevel=2,
        )


def _rewards(where: str, name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    n = len(values)
    if values.size != n:
        raise DatasetError(
            f"{where}: {name} are of shape {values.shape}; expected one number a row, shape {(n,)}."
        )
    return cast(values.reshape(n), np.float32)


def _actions(where: str, name: str, values: NDArray[Any]) -> NDArray[Any]:
    n = len(values)
    if values.dtype.kind in "iu":
        if values.size == n:
            return values.reshape(n)
        raise DatasetError(
            f"{where}: integer {name} of shape {values.shape}; expected one a row, shape {(n,)}."
        )
    if values.ndim != 2:
        raise DatasetError(
            f"{where}: {name} are of shape {values.shape}; expected {(n, 'action size')}."
        )
    return cast(values, np.float32)


def _following(
    where: str, values: NDArray[Any] | None, observations: NDArray[Any]
) -> NDArray[Any] | None:
    if values is None:
        return None
    seen = (observations.shape, observations.dtype == np.uint8)
    if (values.shape, values.dtype == np.uint8) != seen:
        raise DatasetError(
            f"{where}: next_observations are {values.dtype} of shape {values.shape},"
            f" observations {observations.dtype} of shape {observations.shape}; expected"
            " the same of both."
        )
    return cast(values, observations.dtype)
