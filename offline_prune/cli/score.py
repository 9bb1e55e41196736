"""``offline-prune score``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import click
import typer
from rich.console import Console

from offline_prune.cli.options import (
    ALLOCATION,
    AVERAGE,
    METHOD,
    REFILL,
    hyperparameters,
    sparsities,
)
from offline_prune.run.folder import check_output_directory
from offline_prune.run.pipeline import score
from offline_prune.saliency.scoring import Average

__all__ = ["command"]


def command(
    dataset: Annotated[str, typer.Argument(help="A Minari id or a path.")],
    algo: Annotated[str, typer.Option(help="bc, bcq, cql, iql or td3_plus_bc.")],
    sparsity: Annotated[str, typer.Option(help="Fraction to remove: .95, or actor=.95,critic=.8")],
    method: Annotated[str | None, typer.Option(help=METHOD)] = None,
    allocation: Annotated[str | None, typer.Option(help=ALLOCATION)] = None,
    batches: Annotated[int | None, typer.Option(help="Scoring mini-batches.")] = None,
    average: Annotated[str, typer.Option(help=AVERAGE)] = "gradients",
    float64: Annotated[bool, typer.Option("--float64", help="Score in double precision.")] = False,
    refill: Annotated[bool, typer.Option("--refill", help=REFILL)] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    param: Annotated[
        list[str] | None, typer.Option(help="Hyperparameter name=value; repeatable.")
    ] = None,
    share_critics: Annotated[
        bool, typer.Option("--share-critics", help="One threshold for all critics.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:<index>.")] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="New folder; 'run --method FOLDER' reads it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain numbers.")] = False,
) -> None:
    """Choose a mask without training."""
    if out is not None:
        check_output_directory(out)
    scored = score(
        dataset,
        algo,
        sparsities(sparsity),
        method=method,
        allocation=allocation,
        n_batches=batches,
        average=cast(Average, average),
        float64=float64,
        refill=refill,
        seed=seed,
        algo_params=hyperparameters(param or []),
        share_critics=share_critics,
        device=device,
    )
    if out is not None:
        scored.save(out)
    if as_json:
        click.echo(json.dumps(scored.to_dict()))
    else:
        Console().print(scored.summary())
