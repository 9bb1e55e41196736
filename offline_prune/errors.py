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
    """Base of every error that this package raises on purpose.

    Examples:
        >>> from offline_prune import OfflinePruneError, load_dataset
        >>> try:
        ...     data = load_dataset("pendulum/mixtur-v0")
        ... except OfflinePruneError as error:
        ...     print(str(error)[:77])
        Unknown dataset 'pendulum/mixtur-v0'. Did you mean 'pendulum/mixture-v0'? Kno
    """


class InputError(OfflinePruneError, ValueError):
    """An argument is wrong; nothing was trained and nothing on disk was touched.

    Examples:
        >>> from offline_prune import score
        >>> score("pendulum/mixture-v0", "bc", 0.9, n_batches=0)
        Traceback (most recent call last):
            ...
        offline_prune.errors.InputError: n_batches is a whole number from 1 on, not 0.
    """


class UnknownNameError(InputError):
    """A name (algorithm, method, dataset, role, option) that does not exist.

    Examples:
        >>> from offline_prune import score
        >>> score("pendulum/mixture-v0", "iqll", 0.9)
        Traceback (most recent call last):
            ...
        offline_prune.errors.UnknownNameError: Unknown algorithm 'iqll'. Did you mean 'iql'? ...
    """

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
    """A sparsity outside [0, 1), or not a number.

    Examples:
        >>> from offline_prune import score
        >>> score("pendulum/mixture-v0", "bc", 95)
        Traceback (most recent call last):
            ...
        offline_prune.errors.SparsityError: Sparsity 95 is outside [0, 1). Did you mean a ...
    """


class EmptyNetworkError(SparsityError):
    """The sparsity asked for leaves a network without a single weight.

    Examples:
        >>> from offline_prune import score
        >>> score("pendulum/mixture-v0", "bc", 0.99, algo_params={"hidden_units": [4]})
        Traceback (most recent call last):
            ...
        offline_prune.errors.EmptyNetworkError: Sparsity 0.99 leaves actor empty: it has 16 ...
    """


class AlgorithmError(InputError):
    """An algorithm that this package cannot prune or that does not fit the dataset.

    Examples:
        >>> from offline_prune import score
        >>> score("pendulum/mixture-v0", "dqn", 0.9)
        Traceback (most recent call last):
            ...
        offline_prune.errors.AlgorithmError: Deep Q-network ('dqn') has no form for continuous ...
    """


class MaskError(InputError):
    """A mask that does not fit the agent or that is not held.

    Examples:
        >>> from offline_prune import score
        >>> mask = score("pendulum/mixture-v0", "bc", 0.9).mask
        >>> score("pendulum/mixture-v0", "iql", 0.9, method=mask)
        Traceback (most recent call last):
            ...
        offline_prune.errors.MaskError: The mask was made for other networks than this iql ...
    """


class EngineError(InputError):
    """An engine that cannot run here.

    Examples:
        >>> from offline_prune.errors import EngineError, InputError
        >>> issubclass(EngineError, InputError)  # engine="sparse" without numba is one
        True
    """


class OutputDirectoryError(InputError):
    """An output directory that already holds something else, or is no result.

    Examples:
        >>> import tempfile
        >>> from offline_prune import PruneResult
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     PruneResult.load(folder)
        Traceback (most recent call last):
            ...
        offline_prune.errors.OutputDirectoryError: ... is not a result that this package saved: ...
    """


class WriteError(OfflinePruneError, OSError):
    """A file that the disk refused; what was there before is as it was.

    Examples:
        >>> from offline_prune.errors import WriteError
        >>> issubclass(WriteError, OSError)  # so what catches a full disk catches it
        True
    """


class UnsavedResultError(OfflinePruneError):
    """A trained result that could not be saved; it is here.

    Attributes:
        result: The result; ``error.result.save(another_folder)`` keeps it.

    Examples:
        >>> from offline_prune.errors import UnsavedResultError
        >>> try:
        ...     raise UnsavedResultError("The disk is full.", result="hours of training")
        ... except UnsavedResultError as error:
        ...     kept = error.result
        >>> kept
        'hours of training'
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
    """A loss, a score or a weight that is NaN or infinite.

    Examples:
        >>> from offline_prune import score
        >>> score("pendulum/mixture-v0", "bc", 0.9, method="prospr(learning_rate=1e38)")
        Traceback (most recent call last):
            ...
        offline_prune.errors.NonFiniteError: ProsPr's steps of SGD diverge at learning_rate=...
    """


class ObjectiveNotReachedError(OfflinePruneError):
    """No student was ever good enough; the message says how far the best one came.

    Examples:
        >>> from offline_prune import load_dataset, prune, prune_and_shrink
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> agent, _ = prune(data, "bc", sparsity=0.5, algo_params={"hidden_units": [8, 8]})
        >>> agent.engine.detach()
        >>> prune_and_shrink(
        ...     agent.algo, data, objective=1.0, gate="agreement", n_steps=20, distil_steps=20,
        ...     gate_interval=10, evaluate=0, progress=False,
        ... )
        Traceback (most recent call last):
            ...
        offline_prune.errors.ObjectiveNotReachedError: No student reached the objective 1 ...
    """


class DatasetError(InputError):
    """A dataset that cannot be used as it is.

    Examples:
        >>> import numpy as np
        >>> from offline_prune import load_dataset
        >>> load_dataset({"observations": np.zeros((4, 2))})
        Traceback (most recent call last):
            ...
        offline_prune.errors.DatasetError: This mapping lacks actions, rewards, terminals; ...
    """


class EpisodeError(DatasetError):
    """A defect of one episode: the message names the episode and the step.

    Examples:
        >>> import numpy as np
        >>> from offline_prune import load_dataset
        >>> rows = {"observations": [[0.0], [np.nan]], "actions": [[0.0], [0.0]]}
        >>> load_dataset({**rows, "rewards": [0.0, 1.0], "terminals": [False, True]})
        Traceback (most recent call last):
            ...
        offline_prune.errors.EpisodeError: This mapping, episode 0, step 1: observations ...
    """


class ActionSpaceError(DatasetError):
    """An action space that d3rlpy cannot train on.

    Examples:
        >>> from offline_prune.errors import ActionSpaceError, DatasetError
        >>> issubclass(ActionSpaceError, DatasetError)  # of MultiDiscrete actions, say
        True
    """


class DatasetNotFoundError(DatasetError, FileNotFoundError):
    """A dataset that is not on this machine; the message says how to get it.

    Examples:
        >>> from pathlib import Path
        >>> from offline_prune import load_dataset
        >>> load_dataset(Path("recordings/arm.h5"))
        Traceback (most recent call last):
            ...
        offline_prune.errors.DatasetNotFoundError: There is no dataset at recordings/arm.h5.
    """


class FixedDatasetError(OfflinePruneError, TypeError):
    """An attempt to change the fixed dataset.

    Examples:
        >>> from offline_prune import load_dataset
        >>> load_dataset("pendulum/mixture-v0").buffer.clip_episode(terminated=True)
        Traceback (most recent call last):
            ...
        offline_prune.errors.FixedDatasetError: This buffer holds a fixed dataset. ...
    """


class EnvironmentUnavailableError(OfflinePruneError):
    """The environment of a dataset cannot be made here.

    Examples:
        >>> from offline_prune import load_dataset
        >>> from offline_prune.data import make_environment
        >>> rows = {"observations": [[0.0], [1.0]], "actions": [[0.0], [0.0]]}
        >>> data = load_dataset({**rows, "rewards": [0.0, 1.0], "terminals": [False, True]})
        >>> make_environment(data.metadata)
        Traceback (most recent call last):
            ...
        offline_prune.errors.EnvironmentUnavailableError: the dataset names no environment
    """


class UntrustedFileError(InputError):
    """A file that runs what is in it when it is opened, and nobody said that it may.

    Examples:
        >>> from offline_prune.errors import UntrustedFileError
        >>> print(UntrustedFileError("model.zip"))
        model.zip holds pickles: whoever opens it runs what is in them. It was not opened. ...
    """

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
    """A written policy that computes something else than its algorithm; it was removed.

    Examples:
        >>> from offline_prune.errors import ExportError, UnsupportedExportError
        >>> issubclass(UnsupportedExportError, ExportError)  # catches both
        True
    """


class UnsupportedExportError(ExportError, InputError):
    """A policy that a format cannot express, or a package that the format needs.

    Examples:
        >>> from offline_prune import prune
        >>> from offline_prune.export import acting_policy
        >>> agent, _ = prune("pendulum/mixture-v0", "bcq", sparsity=0.9, method="random")
        >>> agent.engine.detach()
        >>> acting_policy(agent.algo)
        Traceback (most recent call last):
            ...
        offline_prune.errors.UnsupportedExportError: The policy of BCQ is not a function of ...
    """
