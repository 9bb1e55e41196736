"""The process in which a peer trains: a number of steps a line in, how long they took out.

An answer has milliseconds a step, cores kept busy, and whether the agent is finite. XLA reads
its flags when jax is imported: :mod:`jax_peers.process` sets them.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_peers.algorithms import PEERS
from jax_peers.peer import Batch, sample


def main(algo: str, path: str) -> None:
    """Train as many steps as every line says.

    Args:
        algo: The algorithm.
        path: The dataset, an npz file with the fields of :class:`jax_peers.peer.Batch`.
    """
    peer = PEERS[algo]
    with np.load(path) as file:
        data = Batch(*(jnp.asarray(file[name]) for name in Batch._fields))
    n_actions = data.actions.shape[1]
    state = peer.create(jax.random.key(0), data.observations.shape[1], n_actions)
    key = jax.random.key(1)

    def body(carry: Any, step: Any) -> tuple[Any, Any]:
        state, key = carry
        key, rows, noise = jax.random.split(key, 3)
        state, losses = peer.update(state, sample(data, rows), peer.draw(noise, n_actions), step)
        return (state, key), losses

    @cache
    def compiled(n_steps: int) -> Any:
        def run(carry: Any, first: Any) -> Any:
            return jax.lax.scan(body, carry, first + jnp.arange(n_steps))

        return jax.jit(run).lower((state, key), 0).compile()

    done = 0
    for line in sys.stdin:
        n_steps = int(line)
        train = compiled(n_steps)
        start, used = time.perf_counter(), time.process_time()
        (state, key), _ = jax.block_until_ready(train((state, key), done))
        seconds, used = time.perf_counter() - start, time.process_time() - used
        done += n_steps
        finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state))
        print(1e3 * seconds / n_steps, used / seconds, finite, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
