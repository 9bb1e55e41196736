"""``offline-prune run``."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import click
import typer

from offline_prune.cli.answer import answer
from offline_prune.cli.one_thread import one_thread
from offline_prune.cli.options import asked, options_of, switch
from offline_prune.errors import OfflinePruneError, UnsavedResultError
from offline_prune.request.requests import TrainingRequest

__all__ = ["command"]


def command(*, json: bool, quiet: bool, **given: Any) -> None:
    """Prune an agent, train what is left, evaluate it."""
    from offline_prune.run.pipeline import prune_then_train

    one_thread()
    checkpoint = given["checkpoint_dir"]
    try:
        result = prune_then_train(**asked(given), progress=not (quiet or json))
    except UnsavedResultError as error:
        _save_elsewhere(error)
        raise
    except KeyboardInterrupt:
        click.echo(_stopped(checkpoint), err=True)
        raise typer.Exit(130) from None
    answer(result.to_dict(), result.summary(), json)


command.__signature__ = options_of(  # type: ignore[attr-defined]
    TrainingRequest,
    switch("--json", "Print plain numbers."),
    switch("--quiet", "No progress bars."),
)


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
