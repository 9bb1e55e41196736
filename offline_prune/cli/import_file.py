"""``offline-prune import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
import typer

__all__ = ["command"]


def command(
    file: Annotated[
        Path,
        typer.Argument(
            help="HDF5 or .npz in the names of D4RL, NeoRL-2 or d3rlpy; LeRobot's folder."
        ),
    ],
    dataset_id: Annotated[str, typer.Argument(metavar="ID", help="namespace/name-v0")],
    env: Annotated[str | None, typer.Option(help="Gymnasium id of the environment.")] = None,
    episode_length: Annotated[
        int | None, typer.Option(help="Steps after which an episode ends, beside the flags.")
    ] = None,
    cut_at_jumps: Annotated[
        bool, typer.Option("--cut-at-jumps", help="End one where the next row does not follow.")
    ] = False,
) -> None:
    """Import recorded transitions as a local Minari dataset."""
    from offline_prune.data import import_file

    imported = import_file(
        file, dataset_id, env=env, episode_length=episode_length, cut_at_jumps=cut_at_jumps
    )
    click.echo(
        f"Imported {imported.total_steps} steps in {imported.total_episodes} episodes"
        f" as {dataset_id}."
    )
