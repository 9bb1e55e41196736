"""How many cases a property is tried on: always the same ones.

``SEARCH=30`` in the environment tries thirty times as many, other ones each time.
"""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("SEARCH", "1"))


def cases(n):
    return settings(
        max_examples=n * TIMES,
        deadline=None,
        database=None,
        derandomize=TIMES == 1,
        suppress_health_check=list(HealthCheck),
    )
