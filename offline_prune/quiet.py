"""Import d3rlpy without its notices, and keep its log quiet unless asked.

Importing d3rlpy imports the retired ``gym``, which prints a banner to stderr, and
configures structlog to print every log line. Every module of this package that needs
d3rlpy imports this module first.
"""

from __future__ import annotations

import logging
import warnings

import gym_notices.notices

# gym prints the notice filed under its version; without an entry it prints nothing.
gym_notices.notices.notices.clear()

with warnings.catch_warnings():
    # In a notebook tqdm asks for ipywidgets; d3rlpy's bars are not shown anyway.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import d3rlpy  # noqa: F401
import structlog  # noqa: E402

__all__ = ["set_d3rlpy_log_level"]


def set_d3rlpy_log_level(level: int) -> None:
    """Show d3rlpy's log lines from this level on.

    Args:
        level: A level of the standard :mod:`logging` module; the package itself sets
            ``logging.ERROR`` on import, ``logging.INFO`` restores d3rlpy's chatter.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


set_d3rlpy_log_level(logging.ERROR)
