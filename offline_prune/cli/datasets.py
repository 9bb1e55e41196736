"""``offline-prune datasets``."""

from __future__ import annotations

from typing import Annotated

import click
import typer

from offline_prune.cli.listing import one_line_each, whole
from offline_prune.errors import UnknownNameError
from offline_prune.recipes.datasets import list_dataset_recipes

__all__ = ["command"]


def command(
    dataset: Annotated[str | None, typer.Argument(help="One to show whole.")] = None,
) -> None:
    """List the datasets that have a recipe."""
    recipes = list_dataset_recipes()
    if dataset is None:
        click.echo(one_line_each({n: r.description for n, r in sorted(recipes.items())}))
        return
    if dataset not in recipes:
        raise UnknownNameError("dataset with a recipe", dataset, recipes)
    click.echo(whole(recipes[dataset]))
