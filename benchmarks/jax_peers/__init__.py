"""One update of BC, IQL, TD3+BC and CQL in JAX, to be timed beside stock d3rlpy and this package.

Networks, losses, optimizers and hyperparameters are d3rlpy 2.8.1's defaults, with hidden layers
of 256-256; ``check_jax_peers.py`` compares losses and weights. Many steps are one compiled
``lax.scan`` that draws its own mini-batches. Only :mod:`jax_peers.process` does without jax.
"""
