"""Versions of packages, as results, records and checkpoints note them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["versions"]


def versions(*packages: str) -> dict[str, str]:
    """Look up which versions are installed.

    Args:
        *packages: Names of distributions.

    Returns:
        Name → version; ``"not installed"`` where there is none.
    """
    return {name: _version(name) for name in packages}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a checkout on the path: no reason to lose a trained agent
        return "not installed"
