"""Sparse kernels against dense layers of the same live size, by density.

python benchmarks/kernels.py

Decides from which density on the compact engine trains dense layers
(``offline_prune/engines/forms.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from offline_prune.base.atomic import written_aside
from offline_prune.engines.sparse_mlp import SparseMLP
from offline_prune.engines.wiring import relu_layers

RESULTS = Path(__file__).parent / "results" / "kernels.md"
INPUTS, OUTPUTS, SECONDS = 23, 6, 0.4
WIDTHS = (64, 128, 256, 512, 1024)
DENSITIES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
BATCHES = (256, 2560)


def milliseconds(calls: list[Callable[[], None]]) -> list[float]:
    """Median time of each call, taken in turn for a while."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    end = time.perf_counter() + SECONDS * len(calls)
    while time.perf_counter() < end:
        for call, found in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            found.append(1e3 * (time.perf_counter() - start))
    return [float(np.median(found)) for found in times]


def step(network: nn.Module, x: Tensor) -> Callable[[], None]:
    """Forward and backward, gradients of parameters and inputs."""

    def run() -> None:
        network.zero_grad()
        network(x).sum().backward()

    return run


def main() -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    lines = [
        "# Sparse kernels",
        "",
        "Forward and backward of a 23-w-w-6 multilayer perceptron with ReLU, one CPU thread:",
        "time of the dense layers over time of `SparseMLP` at a density of the weights. Above 1",
        "the sparse kernels are the faster ones. Medians, taken in turn. Made by",
        "`python benchmarks/kernels.py`.",
        "",
        "| w | batch | dense, ms | " + " | ".join(f"{d:.0%}" for d in DENSITIES) + " |",
        "|---|---|---|" + "---|" * len(DENSITIES),
    ]
    for width in WIDTHS:
        sizes = (INPUTS, width, width, OUTPUTS)
        for batch in BATCHES:
            x = torch.randn(batch, INPUTS, generator=generator).requires_grad_()
            layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
            dense = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
            cells = []
            for density in DENSITIES:
                masks = [
                    torch.rand(b, a, generator=generator) < density for a, b in pairwise(sizes)
                ]
                size = sum(int(mask.sum()) + len(mask) for mask in masks)
                theta = 0.1 * torch.randn(size, generator=generator)
                slow, fast = milliseconds(
                    [step(dense, x), step(SparseMLP(relu_layers(masks), theta), x)]
                )
                cells.append(f"{slow / fast:.1f}×")
            lines.append(f"| {width} | {batch} | {slow:.2f} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    with written_aside(RESULTS) as aside:
        aside.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
