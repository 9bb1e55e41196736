"""Values as they come back from a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["as_json"]


def as_json(value: Any, unknown: Callable[[Any], Any], *, sort_keys: bool = False) -> Any:
    """Mappings as tables, tuples as lists, numpy's numbers as Python's.

    Args:
        value: Numbers, words, lists and tables, in one another.
        unknown: What stands for a part that JSON does not know; it may raise.
        sort_keys: Whether tables are sorted.

    Returns:
        The same value, as JSON reads it.

    Raises:
        TypeError: If a table has keys that are no words or numbers.
        ValueError: If a list or table holds itself.
        RecursionError: If it is too deep.
    """

    def other(part: Any) -> Any:
        if isinstance(part, Mapping):
            return dict(part)
        return part.tolist() if isinstance(part, np.generic | np.ndarray) else unknown(part)

    return json.loads(json.dumps(value, sort_keys=sort_keys, default=other))
