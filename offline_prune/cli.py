"""The command line: the words of the Python interface."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, cast

import click
import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from offline_prune.agents.recipes import algorithm_recipes
from offline_prune.data import import_file, list_dataset_recipes, load_dataset
from offline_prune.demo import run_demo
from offline_prune.errors import (
    InputError,
    OfflinePruneError,
    SparsityError,
    UnsavedResultError,
)
from offline_prune.pipeline import prune_then_train, score
from offline_prune.reporting.command import report_command
from offline_prune.result import PruneResult, check_output_directory
from offline_prune.saliency.scoring import Average
from offline_prune.study.command import sweep_command

__all__ = ["app", "main"]

_METHOD_HELP = (
    "snip_flow (by default), snip, grasp, synflow, …; while training gmp, set, rigl, gates;"
    " 'shuffled(snip)'; or a saved mask."
)
_ALLOCATION_HELP = (
    "global, 'floor(fan_in=4)', uniform, erk or constant_fan_in; by default the method's own."
)
_AVERAGE_HELP = "Over mini-batches: gradients or scores."
_REFILL_HELP = "Weights that lead nowhere make room for the next best."

app = typer.Typer(
    help="Prune offline-RL networks from the fixed dataset, then train them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; exit 2 on wrong input, 1 on a failure, 130 on Ctrl-C."""
    torch.set_num_threads(1)  # more threads spin, and lose, when a core is busy
    try:
        app()
    except OfflinePruneError as error:
        message = "\n".join([str(error), *getattr(error, "__notes__", [])])
        Console(stderr=True).print(
            f"[bold red]{type(error).__name__}[/]: {escape(message)}", soft_wrap=True
        )
        sys.exit(2 if isinstance(error, InputError) else 1)


def _sparsity(text: str) -> float | dict[str, float]:
    """``".95"`` or ``"actor=.95,critic=.8"``."""
    try:
        if "=" not in text:
            return float(text)
        pairs = (part.split("=") for part in text.split(","))
        return {role.strip(): float(number) for role, number in pairs}
    except ValueError as error:
        raise SparsityError(
            f"--sparsity takes a number or role=number,role=number, not {text!r}."
        ) from error


def _params(texts: list[str]) -> dict[str, Any]:
    """``["learning_rate=1e-3", "hidden_units=[64, 64]"]``; values in JSON."""
    params: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"--param takes name=value, not {text!r}.")
        try:
            params[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            params[name.strip()] = value  # a bare word is a string
    return params


@app.command()
def run(
    dataset: Annotated[str, typer.Argument(help="A Minari id or a path.")],
    algo: Annotated[str, typer.Option(help="bc, bcq, cql, iql or td3_plus_bc.")],
    sparsity: Annotated[str, typer.Option(help="Fraction to remove: .95, or actor=.95,critic=.8")],
    method: Annotated[str | None, typer.Option(help=_METHOD_HELP)] = None,
    allocation: Annotated[str | None, typer.Option(help=_ALLOCATION_HELP)] = None,
    steps: Annotated[int | None, typer.Option(help="Gradient steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Transitions a step.")] = None,
    batches: Annotated[int | None, typer.Option(help="Scoring mini-batches.")] = None,
    average: Annotated[str, typer.Option(help=_AVERAGE_HELP)] = "gradients",
    float64: Annotated[bool, typer.Option("--float64", help="Score in double precision.")] = False,
    refill: Annotated[bool, typer.Option("--refill", help=_REFILL_HELP)] = False,
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
            _sparsity(sparsity),
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
            algo_params=_params(param or []),
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
    _print_result(result, as_json)


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


@app.command("score")
def score_(
    dataset: Annotated[str, typer.Argument(help="A Minari id or a path.")],
    algo: Annotated[str, typer.Option(help="bc, bcq, cql, iql or td3_plus_bc.")],
    sparsity: Annotated[str, typer.Option(help="Fraction to remove: .95, or actor=.95,critic=.8")],
    method: Annotated[str | None, typer.Option(help=_METHOD_HELP)] = None,
    allocation: Annotated[str | None, typer.Option(help=_ALLOCATION_HELP)] = None,
    batches: Annotated[int | None, typer.Option(help="Scoring mini-batches.")] = None,
    average: Annotated[str, typer.Option(help=_AVERAGE_HELP)] = "gradients",
    float64: Annotated[bool, typer.Option("--float64", help="Score in double precision.")] = False,
    refill: Annotated[bool, typer.Option("--refill", help=_REFILL_HELP)] = False,
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
        _sparsity(sparsity),
        method=method,
        allocation=allocation,
        n_batches=batches,
        average=cast(Average, average),
        float64=float64,
        refill=refill,
        seed=seed,
        algo_params=_params(param or []),
        share_critics=share_critics,
        device=device,
    )
    if out is not None:
        scored.save(out)
    if as_json:
        click.echo(json.dumps(scored.to_dict()))
    else:
        Console().print(scored.summary())


@app.command()
def show(
    directory: Annotated[Path, typer.Argument(help="A folder that 'run --out' wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print plain numbers.")] = False,
) -> None:
    """Show a saved result."""
    _print_result(PruneResult.load(directory), as_json)


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(help="A folder that 'run --out' wrote.")],
    file: Annotated[Path, typer.Argument(help="Ends in .onnx, .pt (TorchScript) or .c (C99).")],
    dataset: Annotated[
        str | None, typer.Option(help="Observations to check on; by default the run's own.")
    ] = None,
) -> None:
    """Write the acting policy as a file that runs on its own, and check it."""
    result = PruneResult.load(directory)
    observations = None if dataset is None else load_dataset(dataset).observations
    click.echo(str(result.export(file, observations)))


def _print_result(result: PruneResult, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    else:
        Console().print(result.summary())


app.command("sweep")(sweep_command)
app.command("report")(report_command)


@app.command()
def datasets() -> None:
    """List the datasets that have a recipe."""
    table = Table("dataset", "environment", "how to get it", "what it is")
    for name, recipe in sorted(list_dataset_recipes().items()):
        table.add_row(name, recipe.environment, recipe.kind, recipe.description)
    Console().print(table)


@app.command()
def algos() -> None:
    """List the algorithms that have a recipe."""
    table = Table("--algo", "actions", "algorithm", "reference", "hyperparameters from")
    for recipe in algorithm_recipes().values():
        table.add_row(
            recipe.algorithm,
            recipe.actions,
            recipe.title,
            recipe.reference,
            recipe.source,
        )
    Console().print(table)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="HDF5 in D4RL's or d3rlpy's v1 layout.")],
    dataset_id: Annotated[str, typer.Argument(metavar="ID", help="namespace/name-v0")],
    env: Annotated[str | None, typer.Option(help="Gymnasium id of the environment.")] = None,
    episode_length: Annotated[
        int | None, typer.Option(help="Steps after which an episode ends, beside the flags.")
    ] = None,
    cut_at_jumps: Annotated[
        bool, typer.Option("--cut-at-jumps", help="End one where the next row does not follow.")
    ] = False,
) -> None:
    """Import a file as a local Minari dataset."""
    imported = import_file(
        file, dataset_id, env=env, episode_length=episode_length, cut_at_jumps=cut_at_jumps
    )
    click.echo(
        f"Imported {imported.total_steps} steps in {imported.total_episodes} episodes"
        f" as {dataset_id}."
    )


@app.command()
def demo(
    sparsity: Annotated[float, typer.Option(help="Fraction to remove.")] = 0.95,
    dataset: Annotated[str, typer.Option(help="Dataset id.")] = "pendulum/mixture-v0",
    seeds: Annotated[int, typer.Option(help="Runs of each.")] = 3,
    workers: Annotated[int, typer.Option(help="Processes side by side.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers here.")] = None,
) -> None:
    """Train BC, BCQ, CQL and IQL, dense and pruned, and print one table."""
    run_demo(dataset, sparsity, seeds=seeds, workers=workers, out=out)


if __name__ == "__main__":
    main()
