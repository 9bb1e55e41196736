"""The global random states: read, set, and leave as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = [
    "get_random_state",
    "preserved_random_state",
    "seeded_random_state",
    "set_random_state",
]


def get_random_state() -> dict[str, Any]:
    """The global random states of Python, numpy and torch.

    Returns:
        Tensors, numbers and None: what ``torch.load`` reads without executing code.
    """
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
        "numpy": {
            "kind": str(kind),
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Set what :func:`get_random_state` returned.

    Args:
        state: The states.
    """
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy["keys"].numpy().astype(np.uint32)
    np.random.set_state(
        (numpy["kind"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"])
    )
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Leave the global random states as they were, whatever draws inside."""
    state = get_random_state()
    try:
        yield
    finally:
        set_random_state(state)


@contextmanager
def seeded_random_state(seed: int) -> Iterator[None]:
    """The same, with numpy and torch seeded inside.

    Args:
        seed: Of both.
    """
    with preserved_random_state():
        torch.manual_seed(seed)
        np.random.seed(seed)
        yield
