"""Gradient steps of further networks and algorithms against stock d3rlpy, on one thread.

python benchmarks/training_speed_further.py [--rounds 5] [--only "iql, tanh"]

Writes ``results/training_speed_further.md``; with ``--only`` it prints the page and writes none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from d3rlpy.models import QRQFunctionFactory, SimBaEncoderFactory, VectorEncoderFactory
from training_speed import (
    BATCH_SIZE,
    DATASET,
    Row,
    conditions,
    config_of,
    in_turn,
    ratio_table,
    row_of,
    rows_option,
    stock_and_ours,
    write_whole_page,
)

from offline_prune import Dataset, load_dataset

SPARSITY = 0.95


@dataclass(frozen=True)
class Case:
    """A row.

    Attributes:
        algo: The algorithm.
        encoder: Under every network; None for 256-256 with ReLU.
        params: Hyperparameters that are not d3rlpy's defaults.
        options: Of ``prune``.
    """

    algo: str
    encoder: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


NORMALISED = VectorEncoderFactory([256, 256], use_layer_norm=True)
SIMBA = SimBaEncoderFactory(feature_size=256, hidden_size=1024, n_blocks=2)
CASES = {
    "iql": Case("iql"),
    "td3_plus_bc": Case("td3_plus_bc"),
    "iql, layer normalisation": Case("iql", NORMALISED),
    "td3_plus_bc, layer normalisation": Case("td3_plus_bc", NORMALISED),
    "iql, SimBa": Case("iql", SIMBA),
    "sac, SimBa": Case("sac", SIMBA),
    "iql, tanh": Case("iql", VectorEncoderFactory([256, 256], activation="tanh")),
    "rebrac": Case("rebrac"),
    "rebrac, layer normalisation in the critics": Case(
        "rebrac", params={"critic_encoder_factory": NORMALISED}
    ),
    "awac": Case("awac"),
    "cql, QR critics": Case("cql", params={"q_func_factory": QRQFunctionFactory()}),
    # One threshold for all layers would prune all queries and keys: they hardly touch the loss.
    "decision_transformer": Case(
        "decision_transformer", params={"batch_size": 64}, options={"allocation": "erk"}
    ),
}


def measure(name: str, data: Dataset, rounds: int) -> Row:
    """Let stock and the pruned agent train in turn, a round each."""
    case = CASES[name]
    config = config_of(case.algo, 256, case.encoder, **case.params)
    contenders = stock_and_ours(config, data, (SPARSITY,), **case.options)
    return row_of(name, in_turn(contenders, rounds))


def main() -> None:
    """Measure and write the table."""
    arguments = rows_option(__doc__, CASES).parse_args()
    torch.set_num_threads(1)
    data, rows = load_dataset(DATASET), []
    for name in arguments.only or CASES:
        rows.append(measure(name, data, arguments.rounds))
        print(rows[-1], flush=True)
    lines = [
        "# Training speed of further networks and algorithms",
        "",
        "Milliseconds a gradient step of stock d3rlpy and of this package, as in",
        f"[training_speed.md](training_speed.md): one thread, batch {BATCH_SIZE}, `{DATASET}`,",
        "256-256 unless named otherwise. SimBa: two blocks of 256 features and 1024 hidden units.",
        "Decision transformer: three blocks, batch 64 of 20 steps (d3rlpy's defaults), `erk`.",
        *conditions(arguments.rounds),
        "",
        *ratio_table("Further networks and algorithms", rows, rows),
    ]
    write_whole_page("training_speed_further.md", lines, arguments.only)


if __name__ == "__main__":
    main()
