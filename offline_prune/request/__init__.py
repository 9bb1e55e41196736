"""What can be asked for: every setting once, with its default, its meaning and its check."""
