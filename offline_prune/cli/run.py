"""``offline-prune run``."""

from __future__ import annotations

import contextlib
import json
import tempfile
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
from offline_prune.errors import OfflinePruneError, UnsavedResultError
from offline_prune.run.pipeline import prune_then_train
from offline_prune.saliency.scoring import Average

__all__ = ["command"]


def command(
    dataset: Annotated[str, typer.Argument(help="A Minari id or a path.")],
    algo: Annotated[str, typer.Option(help="bc, bcq, cql, iql or td3_plus_bc.")],
    sparsity: Annotated[str, typer.Option(help="Fraction to remove: .95, or actor=.95,critic=.8")],
    method: Annotated[str | None, typer.Option(help=METHOD)] = None,
    allocation: Annotated[str | None, typer.Option(help=ALLOCATION)] = None,
    steps: Annotated[int | None, typer.Option(help="Gradient steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Transitions a step.")] = None,
    batches: Annotated[int | None, typer.Option(help="Scoring mini-batches.")] = None,
    average: Annotated[str, typer.Option(help=AVERAGE)] = "gradients",
    float64: Annotated[bool, typer.Option("--float64", help="Score in double precision.")] = False,
    refill: Annotated[bool, typer.Option("--refill", help=REFILL)] = False,
    rescale: Annotated[
        bool, typer.Option("--rescale", help="Scale kept weights for the fan-in left.")
    ] = False,
    parameterization: Annotated[
        str | None,
        typer.Option(help="sparse, standard or 'sparse(exponent=0.5)': initial weights, steps."),
    ] = None,
    averaging: Annotated[
        str | None, typer.Option(help="Of the weights that act: tail, exponential or none.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    engine: Annotated[str, typer.Option(help="auto, masked, compact or sparse.")] = "auto",
    episodes: Annotated[int, typer.Option(help="Evaluation episodes; 0 = none.")] = 10,
    param: Annotated[
        list[str] | None, typer.Option(help="Hyperparameter name=value; repeatable.")
    ] = None,
    share_critics: Annotated[
        bool, typer.Option("--share-critics", help="One threshold for all critics.")
    ] = False,
    diagnostics: Annotated[
        bool, typer.Option("--diagnostics", help="Measure the networks after every epoch.")
    ] = False,
    feature_steps: Annotated[
        int, typer.Option(help="Steps of an OFENet (--param encoder=ofenet) beforehand.")
    ] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:<index>.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="New folder for the result.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder to go on from after a kill or Ctrl-C.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain numbers.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Prune an agent, train what is left, evaluate it."""
    try:
        result = prune_then_train(
            dataset,
            algo,
            sparsities(sparsity),
            method=method,
            allocation=allocation,
            n_steps=steps,
            batch_size=batch_size,
            n_batches=batches,
            average=cast(Average, average),
            float64=float64,
            refill=refill,
            rescale=rescale,
            parameterization=parameterization,
            averaging=averaging,
            seed=seed,
            engine=engine,
            evaluate=episodes,
            algo_params=hyperparameters(param or []),
            share_critics=share_critics,
            diagnostics=diagnostics,
            feature_steps=feature_steps,
            device=device,
            output_dir=out,
            checkpoint_dir=checkpoint,
            progress=not (quiet or as_json),
        )
    except UnsavedResultError as error:
        _save_elsewhere(error)
        raise
    except KeyboardInterrupt:
        click.echo(_stopped(checkpoint), err=True)
        raise typer.Exit(130) from None
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    else:
        Console().print(result.summary())


def _save_elsewhere(error: UnsavedResultError) -> None:
    """Keep a result that this process would take along when it ends."""
    with contextlib.suppress(OSError, OfflinePruneError):
        folder = tempfile.mkdtemp(prefix="offline-prune-")
        error.result.save(folder)
        error.add_note(f"It was saved in {folder} instead: move it where it should be.")


def _stopped(checkpoint: Path | None) -> str:
    if checkpoint is None:
        return "Stopped; nothing was saved. A run with --checkpoint FOLDER can go on."
    if any(checkpoint.glob("*.pt")):
        return (
            f"Stopped; the state of unfinished runs is in {checkpoint}: the same command goes"
            " on after the last whole epoch."
        )
    return (
        f"Stopped; nothing was saved in {checkpoint} yet: the same command starts anew. The"
        " state is written after every epoch, but not by methods that prune while training"
        " and not with an OFENet."
    )
