"""The folder of a saved result: its files, and where one may be written or read."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from offline_prune.base.arguments import in_one_line
from offline_prune.errors import InputError, OutputDirectoryError
from offline_prune.evaluation.evaluation import Evaluation
from offline_prune.request.settings import RunSettings

__all__ = ["check_output_directory", "read_evaluation", "read_words", "saved_directory"]

FORMAT = 1
RESULT, CONFIG, MODEL = "result.json", "params.json", "model.pt"
MASK, HISTORY, LAST = "mask.safetensors", "history.csv", "last.safetensors"


def check_output_directory(directory: str | Path) -> Path:
    """Refuse a folder that holds anything, so that no earlier run is lost.

    Args:
        directory: Where a result is to be written.

    Returns:
        The folder as a path.

    Raises:
        OutputDirectoryError: If it exists and is not an empty folder.
    """
    if not isinstance(directory, str | Path) or "\0" in str(directory) or not str(directory):
        raise OutputDirectoryError(
            f"An output directory is the path of a new or empty folder, not {directory!r}."
        )
    directory = Path(directory)
    try:
        directory.exists()
        parent = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    except OSError as error:
        raise OutputDirectoryError(
            f"{str(directory)[:100]!r} is no path that can be written ({error.strerror})."
            " Choose another output directory."
        ) from error
    if parent != directory and not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise OutputDirectoryError(
            f"{directory} cannot be made: {parent} is no folder that can be written in."
            " Choose another output directory."
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        what = "a result" if (directory / RESULT).is_file() else "other files"
        raise OutputDirectoryError(
            f"{directory} exists and holds {what}. Nothing there was touched: choose"
            " another output directory, or remove this one."
        )
    return directory


@contextmanager
def saved_directory(directory: str | Path) -> Iterator[Path]:
    """Find a saved result, and say that it is damaged where reading it fails.

    Args:
        directory: Its folder.

    Yields:
        The folder as a path.

    Raises:
        OutputDirectoryError: If a file of a result is missing there, or reading raised what
            is no error of this package.
    """
    if not isinstance(directory, str | Path):
        raise OutputDirectoryError(
            f"A result is loaded from a folder, not from {type(directory).__name__}."
        )
    directory = Path(directory)
    try:
        directory.exists()
    except OSError as error:
        raise OutputDirectoryError(
            f"{str(directory)[:100]!r} is no path that can be read ({error.strerror})."
        ) from error
    missing = [
        name for name in (RESULT, CONFIG, MODEL, MASK, HISTORY) if not (directory / name).is_file()
    ]
    if missing:
        raise OutputDirectoryError(
            f"{directory} is not a result that this package saved: it lacks"
            f" {', '.join(missing)}. Expected a folder that PruneResult.save or"
            " 'offline-prune run --out' wrote."
        )
    try:
        yield directory
    except InputError:
        raise
    except Exception as error:  # whatever readers of damaged files may raise
        raise OutputDirectoryError(
            f"{directory} is damaged or not a result that this package saved"
            f" ({in_one_line(error)}). Expected the files as PruneResult.save wrote them;"
            " take them from a copy, or run again."
        ) from error


def read_words(directory: Path) -> tuple[dict[str, Any], RunSettings]:
    """Read the numbers and words of a saved result.

    Args:
        directory: Its folder.

    Returns:
        ``result.json``, and the settings in it.

    Raises:
        OutputDirectoryError: If they are of another version or no settings.
    """
    content: dict[str, Any] = json.loads((directory / RESULT).read_text())
    if content["format"] != FORMAT:
        raise OutputDirectoryError(
            f"{directory} was saved in format {content['format']}; this version"
            f" reads format {FORMAT}. Upgrade offline-prune."
        )
    # A new setting has a default, so that this format goes on being read.
    unknown = set(content["settings"]) - {f.name for f in dataclasses.fields(RunSettings)}
    if unknown:
        by = content.get("versions", {}).get("offline-prune", "another version")
        raise OutputDirectoryError(
            f"{directory} was saved by offline-prune {by}, with settings that this version"
            f" does not know: {', '.join(sorted(unknown))}. Upgrade offline-prune."
        )
    settings = RunSettings(**content["settings"])
    if isinstance(settings.n_steps, bool) or not isinstance(settings.n_steps, int):
        raise OutputDirectoryError(
            f"{directory / RESULT} has n_steps={settings.n_steps!r}; expected a count."
        )
    return content, settings


def read_evaluation(content: dict[str, Any]) -> Evaluation:
    """Read an evaluation as JSON has it.

    Args:
        content: Its fields.

    Returns:
        The evaluation.
    """
    per_episode = ("returns", "seeds", "successes")
    found = {name: content[name] for name in per_episode if content.get(name) is not None}
    as_tuples: dict[str, Any] = {name: tuple(values) for name, values in found.items()}
    off_policy = content.get("off_policy")
    if off_policy is not None:
        from offline_prune.evaluation.off_policy import OffPolicyEvaluation

        as_tuples["off_policy"] = OffPolicyEvaluation.from_dict(off_policy)
    return Evaluation(**{**content, **as_tuples})
