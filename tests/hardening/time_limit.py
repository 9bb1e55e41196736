"""A limit on the time of one case, so that a hang is a failure with its arguments."""

from __future__ import annotations

import contextlib
import signal
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def within(seconds: float = 15) -> Iterator[None]:
    """Fail if the block takes longer; warnings of collapsed layers do not count."""

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
