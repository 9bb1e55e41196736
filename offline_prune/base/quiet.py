"""Keep d3rlpy's log quiet unless asked.

Importing d3rlpy configures structlog to print every log line. The rooms that need d3rlpy
import this module, whenever: what counts is that it comes after d3rlpy.
"""

from __future__ import annotations

import logging

import d3rlpy  # noqa: F401 - configures structlog when it is imported
import structlog

__all__ = ["set_d3rlpy_log_level"]


def set_d3rlpy_log_level(level: int) -> None:
    """Show d3rlpy's log lines from this level on.

    Args:
        level: A level of the standard :mod:`logging` module; the package itself sets
            ``logging.ERROR`` on import, ``logging.INFO`` restores d3rlpy's chatter.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


set_d3rlpy_log_level(logging.ERROR)
