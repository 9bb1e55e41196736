"""``offline-prune score``."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from offline_prune.cli.answer import answer
from offline_prune.cli.one_thread import one_thread
from offline_prune.cli.options import asked, options_of, switch
from offline_prune.request.requests import ScoringRequest
from offline_prune.run.folder import check_output_directory

__all__ = ["command"]

_Out = Annotated[Path | None, typer.Option(help="New folder; 'run --method FOLDER' reads it.")]


def command(*, out: Path | None, json: bool, **given: Any) -> None:
    """Choose a mask without training."""
    if out is not None:
        check_output_directory(out)
    from offline_prune.run.pipeline import score

    one_thread()
    scored = score(**asked(given))
    if out is not None:
        scored.save(out)
    answer(scored.to_dict(), scored.summary(), json)


command.__signature__ = options_of(  # type: ignore[attr-defined]
    ScoringRequest,
    inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Out),
    switch("--json", "Print plain numbers."),
)
