"""Let d3rlpy be imported without the notices of its own imports; imports nothing heavy itself.

d3rlpy imports the retired ``gym``, which prints a banner to stderr, and tqdm, which asks for
ipywidgets in a notebook.
"""

from __future__ import annotations

import warnings

import gym_notices.notices

__all__: list[str] = []

# gym prints the notice filed under its version; without an entry it prints nothing.
gym_notices.notices.notices.clear()
warnings.filterwarnings("ignore", message="IProgress not found")  # d3rlpy's bars are not shown
