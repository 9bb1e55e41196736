"""Other libraries whose agents are pruned and exported here: a folder each."""
