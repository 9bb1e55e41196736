"""One run, from what is asked for to a result: prune, train, evaluate, save."""
