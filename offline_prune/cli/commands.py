"""All commands, each imported when it is asked for; what is heavy only when it runs."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.core
import typer.main
from rich.console import Console
from rich.markup import escape

import offline_prune
from offline_prune.errors import InputError, OfflinePruneError

__all__ = ["main"]

_COMMANDS = {
    "run": ("run", "Prune an agent, train what is left, evaluate it."),
    "score": ("score", "Choose a mask without training."),
    "show": ("show", "Show a saved result."),
    "export": ("export", "Write the acting policy as a file that runs on its own, and check it."),
    "sweep": ("sweep", "Run a grid of datasets, algorithms, methods, sparsities and seeds."),
    "report": ("report", "Compare the runs of a sweep: tables here, one page in a folder."),
    "datasets": ("datasets", "List the datasets that have a recipe."),
    "algos": ("algos", "List the algorithms that have a recipe."),
    "doctor": ("doctor", "Say what works on this machine, and why training is not faster."),
    "import": ("import_file", "Import recorded transitions as a local Minari dataset."),
    "demo": ("demo", "Train BC, BCQ, CQL and IQL, dense and pruned, and print one table."),
}
"""Name → module, and what the list of commands says of it."""

_PLAIN: Any = {"add_completion": False, "pretty_exceptions_enable": False}


class _Commands(typer.core.TyperGroup):
    """Imports a command's module when the command is called; help needs none of them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, placeholder, rest = super().resolve_command(ctx, args)
        return name, placeholder and _loaded(str(name)), rest


def _loaded(name: str) -> Any:
    module = import_module(f"offline_prune.cli.{_COMMANDS[name][0]}")
    app = typer.Typer(**_PLAIN)
    app.command(name)(module.command)
    return typer.main.get_command(app)


app = typer.Typer(
    cls=_Commands,
    help="Prune offline-RL networks from the fixed dataset, then train them.",
    no_args_is_help=True,
    **_PLAIN,
)
for _name, (_, _help) in _COMMANDS.items():
    app.command(_name, help=_help)(lambda: None)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"offline-prune {offline_prune.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Say it and leave."),
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command line; exit 2 on wrong input, 1 on a failure, 130 on Ctrl-C."""
    try:
        app()
    except OfflinePruneError as error:
        message = "\n".join([str(error), *getattr(error, "__notes__", [])])
        Console(stderr=True).print(
            f"[bold red]{type(error).__name__}[/]: {escape(message)}", soft_wrap=True
        )
        sys.exit(2 if isinstance(error, InputError) else 1)
