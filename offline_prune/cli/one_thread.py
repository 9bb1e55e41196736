"""One thread for the commands that compute with torch."""

from __future__ import annotations

__all__ = ["one_thread"]


def one_thread() -> None:
    """Import torch and have it use one thread: more spin, and lose, when a core is busy."""
    import torch

    torch.set_num_threads(1)
