"""``python -m offline_prune.cli``."""

from offline_prune.cli import main

main()
