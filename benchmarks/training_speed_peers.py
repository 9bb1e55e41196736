"""Gradient steps of stock d3rlpy, of this package and of the same algorithms in JAX.

python benchmarks/training_speed_peers.py [--rounds 5] [--only iql cql]

Writes ``results/training_speed_peers.md``; with ``--only`` it prints the page and writes none. JAX
is measured where the extra ``peers`` is installed; ``check_jax_peers.py`` says whether it computes
the same.
"""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import version

import torch
from jax_peers.process import is_installed, peer_training
from training_speed import (
    BATCH_SIZE,
    DATASET,
    conditions,
    config_of,
    in_turn,
    rows_option,
    stock_and_ours,
    write_whole_page,
)

from offline_prune import Dataset, load_dataset

PEERS = ("bc", "iql", "td3_plus_bc", "cql")
DENSE, SPARSE = "0.0", "0.95"


def measure(algo: str, data: Dataset, rounds: int) -> dict[str, float]:
    """Contender → median milliseconds a step; all train in turn, the peer in its own process."""
    with ExitStack() as stack:
        contenders = stock_and_ours(config_of(algo, 256), data, (float(DENSE), float(SPARSE)))
        if is_installed():
            contenders["jax"] = stack.enter_context(peer_training(algo, data))
        return in_turn(contenders, rounds)


def table(rows: dict[str, dict[str, float]]) -> list[str]:
    """Times as Markdown, and how many times longer JAX takes than the pruned agent."""
    jax = is_installed()
    lines = [
        "| algorithm | stock, ms | 0 % | 95 % |" + (" JAX, dense | JAX / 95 % |" if jax else ""),
        "|---|---|---|---|" + ("---|---|" if jax else ""),
    ]
    for algo, found in rows.items():
        cells = [found["stock"], found[DENSE], found[SPARSE], *([found["jax"]] if jax else [])]
        line = f"| {algo} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |"
        lines.append(line + (f" {found['jax'] / found[SPARSE]:.1f}× |" if jax else ""))
    return lines


def page(rows: dict[str, dict[str, float]], rounds: int) -> list[str]:
    """The whole page."""
    if is_installed():
        about = [
            f"jax {version('jax')}: the same algorithms in [jax_peers](../jax_peers), many steps a",
            "compiled `lax.scan` that draws its mini-batches from arrays, in a process of its own",
            "on one core; compilation is not counted.",
        ]
    else:
        about = ["JAX is not in it: the extra `peers` was not installed."]
    return [
        "# Training speed of other libraries",
        "",
        "Milliseconds a gradient step of stock d3rlpy, and of this package at 0 and 95 % sparsity,",
        "as in [training_speed.md](training_speed.md): 256-256, one thread, batch"
        f" {BATCH_SIZE}, `{DATASET}`.",
        *about,
        *conditions(rounds),
        "",
        *table(rows),
    ]


def main() -> None:
    """Measure and write the table."""
    arguments = rows_option(__doc__, PEERS).parse_args()
    torch.set_num_threads(1)
    data, rows = load_dataset(DATASET), {}
    for algo in arguments.only or PEERS:
        rows[algo] = measure(algo, data, arguments.rounds)
        print(algo, rows[algo], flush=True)
    write_whole_page("training_speed_peers.md", page(rows, arguments.rounds), arguments.only)


if __name__ == "__main__":
    main()
