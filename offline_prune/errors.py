"""The named errors of this package: each says what was wrong, expected, and to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "ActionSpaceError",
    "AlgorithmError",
    "DatasetError",
    "DatasetNotFoundError",
    "EmptyNetworkError",
    "EngineError",
    "EnvironmentUnavailableError",
    "EpisodeError",
    "ExportError",
    "FixedDatasetError",
    "InputError",
    "MaskError",
    "NonFiniteError",
    "ObjectiveNotReachedError",
    "OfflinePruneError",
    "OutputDirectoryError",
    "SparsityError",
    "UnknownNameError",
    "UnsavedResultError",
    "UnsupportedExportError",
    "UntrustedFileError",
    "WriteError",
]


class OfflinePruneError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(OfflinePruneError, ValueError):
    """An argument is wrong; nothing was trained and nothing on disk was touched."""


class UnknownNameError(InputError):
    """A name (algorithm, method, dataset, role, option) that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Build the message: the known names, and the nearest one.

        Args:
            kind: What the name was meant to name, in the singular.
            name: The name that was given.
            known: The names that exist.
        """
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        listing = ", ".join(names) if names else "none"
        said = name if len(name) <= 80 else f"{name[:77]}..."
        super().__init__(f"Unknown {kind} {said!r}.{hint} Known: {listing}.")
        self.kind = kind
        self.name = name
        self.known = names


class SparsityError(InputError):
    """A sparsity outside [0, 1), or not a number."""


class EmptyNetworkError(SparsityError):
    """The sparsity asked for leaves a network without a single weight."""


class AlgorithmError(InputError):
    """An algorithm that this package cannot prune or that does not fit the dataset."""


class MaskError(InputError):
    """A mask that does not fit the agent or that is not held."""


class EngineError(InputError):
    """An engine that cannot run here."""


class OutputDirectoryError(InputError):
    """An output directory that already holds something else, or is no result."""


class WriteError(OfflinePruneError, OSError):
    """A file that the disk refused; what was there before is as it was."""


class UnsavedResultError(OfflinePruneError):
    """A trained result that could not be saved; it is here.

    Attributes:
        result: The result; ``error.result.save(another_folder)`` keeps it.
    """

    def __init__(self, message: str, result: Any) -> None:
        """Keep the result.

        Args:
            message: Why it could not be saved.
            result: A :class:`~offline_prune.PruneResult`.
        """
        super().__init__(message)
        self.result = result


class NonFiniteError(OfflinePruneError, ArithmeticError):
    """A loss, a score or a weight that is NaN or infinite."""


class ObjectiveNotReachedError(OfflinePruneError):
    """No student was ever good enough; the message says how far the best one came."""


class DatasetError(InputError):
    """A dataset that cannot be used as it is."""


class EpisodeError(DatasetError):
    """A defect of one episode: the message names the episode and the step."""


class ActionSpaceError(DatasetError):
    """An action space that d3rlpy cannot train on."""


class DatasetNotFoundError(DatasetError, FileNotFoundError):
    """A dataset that is not on this machine; the message says how to get it."""


class FixedDatasetError(OfflinePruneError, TypeError):
    """An attempt to change the fixed dataset."""


class EnvironmentUnavailableError(OfflinePruneError):
    """The environment of a dataset cannot be made here."""


class UntrustedFileError(InputError):
    """A file that runs what is in it when it is opened, and nobody said that it may."""

    def __init__(self, path: Any) -> None:
        """Build the message.

        Args:
            path: The file.
        """
        super().__init__(
            f"{path} holds pickles: whoever opens it runs what is in them. It was not opened. If"
            " you trust whoever wrote it, say so: trust=True, or --trust on the command line."
        )


class ExportError(OfflinePruneError):
    """A written policy that computes something else than its algorithm; it was removed."""


class UnsupportedExportError(ExportError, InputError):
    """A policy that a format cannot express, or a package that the format needs."""
