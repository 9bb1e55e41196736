"""Copies of an algorithm whose mask is held."""

from __future__ import annotations

from typing import Any

from offline_prune.agents.copying import copied, packed, unpacked

__all__ = ["PlainCopies"]


class PlainCopies:
    """Lets ``copy.deepcopy(algo)`` and ``pickle`` give plain algorithms.

    Keeping the best network by a copy in a callback is how people stop early. A copy of
    swapped parameters and hooks would train its zeros away, or save what cannot be loaded.
    """

    def __init__(self, algo: Any) -> None:
        """Answer for an algorithm until :meth:`undo`.

        Args:
            algo: A built d3rlpy algorithm.
        """
        self._algo = algo
        algo.__deepcopy__ = self._deepcopy
        algo.__reduce_ex__ = self._reduce

    def _deepcopy(self, memo: dict[int, Any]) -> Any:
        return copied(self._algo)

    def _reduce(self, protocol: int) -> tuple[Any, tuple[Any, ...]]:
        return unpacked, packed(self._algo)

    def undo(self) -> None:
        """Give the algorithm Python's own ways back."""
        for name in ("__deepcopy__", "__reduce_ex__"):
            vars(self._algo).pop(name, None)
