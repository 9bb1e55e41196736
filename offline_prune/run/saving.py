"""Save a trained result; hours of training must not end with a folder that is taken."""

from __future__ import annotations

from offline_prune.errors import OutputDirectoryError, UnsavedResultError, WriteError
from offline_prune.request.requests import TrainingRequest
from offline_prune.run.checkpoint import Checkpoint
from offline_prune.run.result import PruneResult

__all__ = ["keep"]


def keep(
    result: PruneResult,
    request: TrainingRequest,
    checkpoint: Checkpoint | None,
    interruption: BaseException | None,
) -> None:
    """Save a result where it was asked for, and remove the state of its run.

    Args:
        result: The result.
        request: Says where, if anywhere, and whether the state stays.
        checkpoint: The state of the run, if it has one.
        interruption: What interrupted the evaluation; raised once the result is safe.

    Raises:
        UnsavedResultError: If it could not be saved; the state stays.
        KeyboardInterrupt: The interruption, with the result.
    """
    try:
        if request.output_dir is not None:
            result.save(request.output_dir)
    except (OutputDirectoryError, WriteError) as error:
        message = f"Training is done, but its result could not be saved: {error}"
        message += (
            " The trained result is this error's .result; error.result.save(folder) keeps it."
        )
        if checkpoint is not None:
            message += (
                f" Its state is in {checkpoint.path} too: the same run with another output"
                " directory does not train again."
            )
        raise UnsavedResultError(message, result) from error
    if interruption is not None:
        interruption.result = result  # type: ignore[attr-defined]
        interruption.add_note("Training was done: the trained result is this error's .result.")
        raise interruption
    if checkpoint is not None and not request.keep_checkpoint:
        checkpoint.remove()
