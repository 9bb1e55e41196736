"""A cell of a study: everything that decides one run, and a name made of that."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offline_prune.base.arguments import shown
from offline_prune.base.as_json import as_json
from offline_prune.errors import InputError
from offline_prune.evaluation.plan import planned
from offline_prune.request.options import RunOptions
from offline_prune.request.requests import AXES, TrainingRequest
from offline_prune.request.setting import settings, values
from offline_prune.run.automatic import AUTO, SEARCH_OPTIONS, is_open

__all__ = ["DENSE", "FIRST_DEFAULTS", "PRUNING_OPTIONS", "Cell", "plain"]

DENSE = "dense"
"""The method of a cell that prunes nothing.

Examples:
    >>> from offline_prune.study import DENSE, Cell
    >>> Cell("pendulum/mixture-v0", "bc", method=DENSE).is_dense
    True
"""

FIRST_DEFAULTS = {"parameterization": "standard", "averaging": "none"}
"""What runs were before there were these fields; a field that says so adds nothing to a name."""

PRUNING_OPTIONS = tuple(f.name for f in settings(RunOptions) if f.metadata["prunes"])
"""Fields of a cell that say how weights are chosen; the dense run has none of them."""


@dataclass(frozen=True)
class Cell(RunOptions):
    """One run of a study, with every option of :func:`~offline_prune.prune_then_train`.

    The dense run is one cell: at sparsity 0, or with the method :data:`DENSE`, whatever
    else was said about pruning is dropped.

    Attributes:
        dataset: Id or path.
        algo: Name of the algorithm.
        seed: Of everything random.
        method: Name or expression of the pruning method, or the path of a mask.
        sparsity: Fraction of the prunable weights to remove; or role → fraction; or ``"auto"``,
            whose learning curve is a point, that of the chosen agent.
        evaluations: Points of the run at which it is evaluated, evenly spaced, the last
            one at its end.
        window: Of the last points, how many the final-window mean takes.

    Examples:
        >>> from offline_prune.study import Cell
        >>> cell = Cell("pendulum/mixture-v0", "bc", seed=0, method="snip", sparsity=0.9)
        >>> other = Cell("pendulum/mixture-v0", "bc", seed=1, method="snip", sparsity=0.9)
        >>> cell.is_dense, cell.id == other.id
        (False, False)
    """

    dataset: str
    algo: str
    seed: int = 0
    method: str = DENSE
    sparsity: float | Mapping[str, float] = 0.0
    algo_params: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    evaluations: int = field(default=10, kw_only=True)
    window: int = field(default=3, kw_only=True)

    def __post_init__(self) -> None:
        """Bring equal requests into one form.

        Raises:
            InputError: If a field cannot be written as JSON or has more than 64 bits, or
                ``algo_params`` is no table.
        """
        for entry in dataclasses.fields(self):
            value = plain(entry.name, getattr(self, entry.name))
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise InputError(
                    f"{entry.name} has at most 64 bits in a table, not {shown(value)}."
                )
            object.__setattr__(self, entry.name, value)
        if not isinstance(self.algo_params, Mapping):
            raise InputError(
                "algo_params is a table of hyperparameters, such as {'learning_rate': 1e-3}, not"
                f" {shown(self.algo_params)}."
            )
        sparsity: Any = self.sparsity
        parts = list(sparsity.values()) if isinstance(sparsity, Mapping) else [sparsity]
        if self.method == DENSE or all(part == 0 for part in parts):
            for name in ("method", "sparsity", *PRUNING_OPTIONS):
                object.__setattr__(self, name, _DEFAULTS[name])
            if self.averaging is None:
                object.__setattr__(self, "averaging", _DEFAULTS["averaging"])
        if not self.is_search:  # what is said of searches holds for the cells that are some
            for name in SEARCH_OPTIONS:
                object.__setattr__(self, name, None)

    @property
    def id(self) -> str:
        """Name of the cell: 16 hexadecimal digits of the SHA-256 of its canonical JSON.

        Fields at their first default are left out of it, so that a field that a later
        version adds changes no name: ``"standard"`` and ``"none"`` are what runs were before
        there were parameterizations and averages.
        """
        said = {n: v for n, v in self.to_dict().items() if n not in _DEFAULTS or v != _DEFAULTS[n]}
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def pruning_method(self) -> str:
        """What it is run with: the dense run removes nothing, by magnitude."""
        return "magnitude" if self.is_dense else self.method

    @property
    def is_dense(self) -> bool:
        """Whether nothing is pruned."""
        return self.method == DENSE

    @property
    def is_search(self) -> bool:
        """Whether a sparsity is left open."""
        return is_open(self.sparsity)

    @property
    def episodes(self) -> int:
        """Rollouts of each evaluation.

        Raises:
            InputError: If ``evaluate`` is no such thing.
        """
        return planned(self.evaluate).episodes

    def request(self, **others: Any) -> TrainingRequest:
        """What is asked of the run.

        Args:
            **others: Settings that are no part of a cell, or stand in for its own.

        Returns:
            The request.
        """
        own = values(self, RunOptions)
        own |= {name: getattr(self, name) for name in AXES} | {"method": self.pruning_method}
        return TrainingRequest(**{**own, **others})

    def interval(self, n_steps: int) -> int:
        """Gradient steps between two evaluations.

        Args:
            n_steps: Gradient steps of the run.

        Returns:
            The steps; all of them where nothing is evaluated.

        Raises:
            InputError: If the evaluations cannot be evenly spaced.
        """
        if not self.episodes:
            return n_steps
        if n_steps % self.evaluations:
            raise InputError(
                f"n_steps={n_steps} cannot be evaluated at {self.evaluations} evenly spaced"
                " points: choose evaluations that divide it."
            )
        return n_steps // self.evaluations

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        """Dataset, algorithm, method, sparsity and seed."""
        sparsity = "" if self.is_dense else f" {_sparsity_text(self.sparsity)}"
        return f"{self.dataset} {self.algo} {self.method}{sparsity} seed {self.seed}"


def plain(name: str, value: Any) -> Any:
    """A value as JSON has it: tables sorted, tuples as lists, numpy's numbers as Python's.

    Args:
        name: Of the field, for the message.
        value: The value.

    Returns:
        The same value.

    Raises:
        InputError: If it holds anything else.
    """
    try:
        return as_json(value, _refused, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{name} of a study is made of numbers, words, lists and tables, so that it can be"
            f" written down, not {shown(value)} ({str(error)[:100]})."
        ) from error


def _refused(value: Any) -> None:
    raise TypeError(f"it holds a {type(value).__name__}")


def _sparsity_text(sparsity: float | Mapping[str, float]) -> str:
    if isinstance(sparsity, Mapping):
        return ",".join(f"{role}={_sparsity_text(value)}" for role, value in sparsity.items())
    if isinstance(sparsity, int | float):
        return f"{sparsity:g}"
    return sparsity if sparsity == AUTO else shown(sparsity)


_DEFAULTS: dict[str, Any] = {
    f.name: {} if f.name == "algo_params" else f.default
    for f in dataclasses.fields(Cell)
    if f.name not in ("dataset", "algo", "seed")
} | FIRST_DEFAULTS
