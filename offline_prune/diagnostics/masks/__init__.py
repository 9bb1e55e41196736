"""Questions about a mask and its scores, each with a plot."""
