"""Gradient steps of further networks and algorithms against stock d3rlpy, on one thread.

python benchmarks/training_speed_further.py [--rounds 5] [--only "iql, tanh"]

Writes ``results/training_speed_further.md``; with ``--only`` it prints the page and writes none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from d3rlpy.models import QRQFunctionFactory, SimBaEncoderFactory, VectorEncoderFactory
from d3rlpy.preprocessing import PixelObservationScaler
from training_speed import (
    BATCH_SIZE,
    DATASET,
    Row,
    conditions,
    config_of,
    in_turn,
    noise_images,
    ratio_table,
    row_of,
    rows_option,
    stock_and_ours,
    write_whole_page,
)

from offline_prune import Dataset, load_dataset, prune_then_train
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.masks.mask import Mask

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


IMAGES, IMAGES_BATCH, IMAGE_SPARSITIES = (3, 64, 64), 32, (0.8, 0.95)
IMAGE_ENCODERS = {
    "IMPALA": ImpalaEncoderFactory(),
    "Impoola": ImpalaEncoderFactory(pooled=True),
    "IMPALA, twice as wide": ImpalaEncoderFactory(width=2),
    "Impoola, twice as wide": ImpalaEncoderFactory(width=2, pooled=True),
}
"""Of discrete CQL, whole channels pruned."""


def structured_mask(config: Any, data: Dataset, sparsity: float) -> Mask:
    """The mask of ``structured`` after two steps: whole channels, the weakest of the first."""
    result = prune_then_train(
        data,
        config,
        sparsity,
        method="structured(begin=0.0, end=0.5)",
        n_steps=2,
        evaluate=0,
        progress=False,
    )
    return result.mask


def measure_images(name: str, data: Dataset, rounds: int) -> Row:
    """The same for an encoder of images, channels pruned whole."""
    params = {"batch_size": IMAGES_BATCH, "observation_scaler": PixelObservationScaler()}
    config = config_of("discrete_cql", 0, IMAGE_ENCODERS[name], **params)
    contenders = stock_and_ours(config, data, IMAGE_SPARSITIES, mask_of=structured_mask)
    return row_of(f"discrete_cql, {name}", in_turn(contenders, rounds))


def measure(name: str, data: Dataset, rounds: int) -> Row:
    """Let stock and the pruned agent train in turn, a round each."""
    case = CASES[name]
    config = config_of(case.algo, 256, case.encoder, **case.params)
    contenders = stock_and_ours(config, data, (SPARSITY,), **case.options)
    return row_of(name, in_turn(contenders, rounds))


def main() -> None:
    """Measure and write the table."""
    arguments = rows_option(__doc__, [*CASES, *IMAGE_ENCODERS]).parse_args()
    torch.set_num_threads(1)
    vectors, images = load_dataset(DATASET), noise_images(IMAGES)
    rows: list[Row] = []
    of_images: list[Row] = []
    for name in arguments.only or [*CASES, *IMAGE_ENCODERS]:
        if name in CASES:
            rows.append(measure(name, vectors, arguments.rounds))
        else:
            of_images.append(measure_images(name, images, arguments.rounds))
        print((rows if name in CASES else of_images)[-1], flush=True)
    lines = [
        "# Training speed of further networks and algorithms",
        "",
        "Milliseconds a gradient step of stock d3rlpy and of this package, as in",
        f"[training_speed.md](training_speed.md): one thread, batch {BATCH_SIZE}, `{DATASET}`,",
        "256-256 unless named otherwise. SimBa: two blocks of 256 features and 1024 hidden units.",
        "Decision transformer: three blocks, batch 64 of 20 steps (d3rlpy's defaults), `erk`.",
        f"Images: {'×'.join(map(str, IMAGES))}, noise, batch {IMAGES_BATCH}, `structured`.",
        *conditions(arguments.rounds),
        "",
        *(ratio_table("Further networks and algorithms", rows, rows) if rows else ()),
        *(ratio_table("Images, whole channels pruned", of_images, of_images) if of_images else ()),
    ]
    write_whole_page("training_speed_further.md", lines, arguments.only)


if __name__ == "__main__":
    main()
