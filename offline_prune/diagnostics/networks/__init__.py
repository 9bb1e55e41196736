"""Questions about the networks as they are now, each one number."""
