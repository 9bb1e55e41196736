"""Libraries besides d3rlpy whose agents are pruned: one folder a library."""
