"""The same questions after every epoch, in the logs of a training loop."""
