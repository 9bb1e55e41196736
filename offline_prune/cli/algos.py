"""``offline-prune algos``."""

from __future__ import annotations

from typing import Annotated

import click
import typer

from offline_prune.cli.listing import one_line_each, whole
from offline_prune.recipes.algorithms import algorithm_recipes, check_algorithm

__all__ = ["command"]


def command(
    algo: Annotated[str | None, typer.Argument(help="One to show whole.")] = None,
) -> None:
    """List the algorithms that have a recipe."""
    recipes = algorithm_recipes().values()
    if algo is None:
        lines = {f"{r.algorithm} ({r.actions})": r.title for r in recipes}
        click.echo(one_line_each(lines))
        return
    check_algorithm(algo)
    found = [r for r in recipes if algo in (r.name, r.algorithm)]
    click.echo("\n\n".join(map(whole, found)))
