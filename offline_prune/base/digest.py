"""One name for what values hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["digest_of"]


def digest_of(value: Any) -> str:
    """Hash tables, lists, arrays and plain values, without ambiguity.

    Args:
        value: Of them, in one another; of anything else its ``repr`` counts.

    Returns:
        SHA-256, 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        _feed(digest, len(value))
        for key, inner in value.items():
            _feed(digest, key)
            _feed(digest, inner)
    elif isinstance(value, list | tuple):
        _feed(digest, len(value))
        for inner in value:
            _feed(digest, inner)
    elif isinstance(value, Tensor):
        _feed(digest, value.detach().cpu().numpy())
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    else:
        text = repr(value).encode()
        digest.update(f"{len(text)}:".encode())
        digest.update(text)
