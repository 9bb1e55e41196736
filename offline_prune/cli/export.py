"""``offline-prune export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
import typer

from offline_prune.cli.one_thread import one_thread

__all__ = ["command"]


def command(
    directory: Annotated[Path, typer.Argument(help="A folder that 'run --out' wrote.")],
    file: Annotated[Path, typer.Argument(help="Ends in .onnx, .pt (TorchScript) or .c (C99).")],
    dataset: Annotated[
        str | None, typer.Option(help="Observations to check on; by default the run's own.")
    ] = None,
) -> None:
    """Write the acting policy as a file that runs on its own, and check it."""
    from offline_prune.data import load_dataset
    from offline_prune.run.result import PruneResult

    one_thread()
    result = PruneResult.load(directory)
    observations = None
    if dataset is not None:
        stack = result.settings.frame_stack
        observations = load_dataset(dataset).with_frame_stack(stack).observations
    click.echo(str(result.export(file, observations)))
