"""What the tests tried, counted; pytest prints it at the end (``docs/guarantees.md`` has it)."""

from collections import Counter

FIGURES = Counter()
"""What was counted → how often."""
