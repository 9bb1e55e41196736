"""Where episodes end among rows that follow one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline_prune.data.sources.fields import Fields
from offline_prune.errors import DatasetError

__all__ = ["cut_off"]


def cut_off(fields: Fields, length: int | None, cut_at_jumps: bool) -> NDArray[np.bool_]:
    """Find the rows at which an episode was cut off: recorded, by length, or at jumps.

    Args:
        fields: The rows.
        length: Steps after which an episode ends, beside the flags.
        cut_at_jumps: Whether one also ends where the next observation is another than the
            observation of the next row.

    Returns:
        (N,) flags.

    Raises:
        DatasetError: If it cannot be told where episodes end; says what would tell it.
    """
    where, terminals = fields.where, fields.terminals
    n = len(terminals)
    marked = fields.timeouts is not None
    ends = np.zeros(n, dtype=bool) if fields.timeouts is None else fields.timeouts.copy()
    if length is not None:
        since = 0
        for row in range(n):
            since += 1
            ends[row] |= since == length and not terminals[row]
            since = 0 if ends[row] or terminals[row] else since
    jumps = _jumps(fields, ends | terminals)
    if cut_at_jumps and jumps is None:
        raise DatasetError(
            f"{where} has no next_observations, so it cannot be told where rows do not follow"
            " each other. Say how long episodes are (episode_length=…, --episode-length), or"
            " take data that have them."
        )
    if jumps is not None and jumps.any():
        if not cut_at_jumps:
            first = int(np.argmax(jumps))
            raise DatasetError(
                f"{where}: the next_observations of {int(jumps.sum())} of {n} rows are not the"
                f" observations of the rows after them (row {first} is the first), and no flag"
                " ends an episode there: ends are missing, or rows are shuffled or of several"
                " environments in turn. Cut there (cut_at_jumps=True, --cut-at-jumps), or say"
                " how long episodes are (episode_length=…, --episode-length)."
            )
        ends |= jumps
    if not (marked or ends.any() or terminals.any() or jumps is not None):
        raise DatasetError(
            f"{where} marks no end of an episode in {n} rows and has neither timeouts nor"
            " next_observations: as one episode, transitions would join strangers. Say how long"
            f" episodes are (episode_length=…, --episode-length; {n} for one episode)."
        )
    return ends


def _jumps(fields: Fields, ends: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Rows within an episode that the next row does not follow; None if it is not known."""
    following = fields.next_observations
    if following is None:
        return None
    n = len(ends)
    ahead = fields.observations[1:].reshape(n - 1, -1).astype(np.float64)
    said = following[:-1].reshape(n - 1, -1).astype(np.float64)
    apart = np.abs(said - ahead) > 1e-4 * (1.0 + np.abs(ahead))
    jumps = np.append(apart.any(axis=1), False)
    return jumps & ~ends
