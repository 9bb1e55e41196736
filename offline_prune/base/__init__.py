"""What every room stands on: arguments, expressions, safe files, progress, silence, memory."""
