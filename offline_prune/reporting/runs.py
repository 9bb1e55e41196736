"""The runs of a study, as its records tell them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_prune.errors import InputError, OutputDirectoryError
from offline_prune.run.automatic import is_open
from offline_prune.study import Cell, read_records
from offline_prune.study.cell import FIRST_DEFAULTS, PRUNING_OPTIONS
from offline_prune.study.records import check_is_study

__all__ = ["ARM_OPTIONS", "TRAINING_OPTIONS", "Point", "Run", "plain", "read_runs"]

ARM_OPTIONS = (*PRUNING_OPTIONS, "averaging")
"""Fields of a cell that make another arm of a task; runs that differ in them are compared."""

TRAINING_OPTIONS = tuple(
    f.name
    for f in dataclasses.fields(Cell)
    if f.name not in ("dataset", "algo", "seed", "method", "sparsity", "algo_params")
    and f.name not in ARM_OPTIONS
)
"""Fields of a cell in which runs that are compared must agree; so must hyperparameters."""

_DEFAULTS: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(Cell)} | FIRST_DEFAULTS


@dataclass(frozen=True)
class Point:
    """An evaluation while a run trains.

    Attributes:
        step: Gradient steps done.
        mean_return: Mean undiscounted return of its episodes.
        score: The same, normalised; None without references.
    """

    step: int
    mean_return: float
    score: float | None


@dataclass(frozen=True)
class Run:
    """One cell of a study and what came of it.

    Attributes:
        id: Of the cell.
        dataset: Id or path.
        algo: Name of the algorithm.
        seed: Of everything random.
        method: Name or expression of the pruning method.
        sparsity: Fraction asked for; None where roles differ, or it was chosen.
        by_role: (role, fraction) where roles differ, else empty.
        pruning: Option → value as JSON, of :data:`ARM_OPTIONS`.
        training: Option → value as JSON, of :data:`TRAINING_OPTIONS`.
        params: Hyperparameter that replaces the recipe's → value as JSON.
        error: Why it failed; None if it did not.
        final_return: Mean return over the final window; None if it failed or was not
            evaluated.
        score: The same, normalised; None without references.
        curve: The evaluations, in order.
        weights: Prunable weights of the agent.
        kept: Weights of its nominal mask.
        connected: Kept weights that lead from an input to an output.
        layers: (network, layer, density) in order.
        training_seconds: Wall-clock seconds of training.
        n_steps: Gradient steps; None if it failed.
        batch_size: Transitions a step; None if it failed.
        versions: Package → version.
    """

    id: str
    dataset: str
    algo: str
    seed: int
    method: str
    sparsity: float | None
    by_role: tuple[tuple[str, float], ...]
    pruning: Mapping[str, str]
    training: Mapping[str, str]
    params: Mapping[str, str]
    error: str | None
    final_return: float | None
    score: float | None
    curve: tuple[Point, ...]
    weights: int | None
    kept: int | None
    connected: int | None
    layers: tuple[tuple[str, str, float], ...]
    training_seconds: float | None
    n_steps: int | None
    batch_size: int | None
    versions: Mapping[str, str]


def read_runs(directory: str | Path) -> list[Run]:
    """Read the runs of a study.

    Args:
        directory: The folder that ``sweep`` wrote.

    Returns:
        The runs by dataset, algorithm, method, sparsity and seed.

    Raises:
        OutputDirectoryError: If it is not the folder of a study, or holds no cell.
        InputError: If a record is not as ``sweep`` writes it.
    """
    check_is_study(directory)
    wrong = f"A record in {Path(directory) / 'cells'} is not as 'offline-prune sweep' writes it"
    advice = "Remove the file and run the sweep again."
    try:
        records = read_records(directory)
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{wrong} ({type(error).__name__}: {error}). {advice}") from error
    if not records:
        raise OutputDirectoryError(f"No cell of the study in {directory} is done yet.")
    runs = []
    for record in records:
        try:
            runs.append(_run(record))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{wrong}: {plain(record['id'])} ({type(error).__name__}: {error}). {advice}"
            ) from error
    return runs


def plain(text: object) -> str:
    """One printable line, whatever a file holds: no line breaks, no control characters.

    Args:
        text: Anything.

    Returns:
        The line.
    """
    line = " ".join(str(text).split())
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _run(record: Mapping[str, Any]) -> Run:
    cell: Mapping[str, Any] = record["cell"]
    result: Mapping[str, Any] = record["result"] or {}
    sparsity = cell["sparsity"]
    by_role = sparsity if isinstance(sparsity, dict) else {}
    searched = is_open(sparsity)
    by_role = {} if searched else by_role
    final_return, score = (
        _number(result.get(f"final_window_{name}")) for name in ("mean_return", "normalized_score")
    )
    error = None if record["status"] == "ok" else plain(record["error"] or "unknown error")
    evaluated = result.get("final_window_mean_return") is not None
    if error is None and evaluated and final_return is None:
        error = "The return over the final window is not finite."
    networks: Mapping[str, Any] = result.get("networks") or {}
    return Run(
        id=plain(record["id"]),
        dataset=plain(cell["dataset"]),
        algo=plain(cell["algo"]),
        seed=int(cell["seed"]),
        method=plain(cell["method"]),
        sparsity=None if by_role or searched else float(sparsity),
        by_role=tuple((plain(role), float(part)) for role, part in by_role.items()),
        pruning=_options({**cell, **_chosen(cell, result)}, ARM_OPTIONS),
        training=_options(cell, TRAINING_OPTIONS),
        params={plain(k): _json(v) for k, v in (cell.get("algo_params") or {}).items()},
        error=error,
        final_return=None if error else final_return,
        score=None if error else score,
        curve=tuple(
            Point(int(p["step"]), float(p["mean_return"]), _number(p["normalized_score"]))
            for p in result.get("curve") or ()
            if _number(p["mean_return"]) is not None
        ),
        weights=_whole(result.get("weights")),
        kept=_whole(result.get("weights_kept")),
        connected=_whole(result.get("weights_connected")),
        layers=tuple(
            (plain(network), plain(layer), float(density))
            for network, found in networks.items()
            for layer, density in found["layer_densities"].items()
        ),
        training_seconds=_number(record["timing"].get("training_seconds")),
        n_steps=_whole(result.get("n_steps")),
        batch_size=_whole(result.get("batch_size")),
        versions={plain(k): plain(v) for k, v in (record.get("versions") or {}).items()},
    )


def _chosen(cell: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """What the run chose where the cell left it open."""
    return {n: result[n] for n in FIRST_DEFAULTS if n in cell and cell[n] is None and n in result}


def _options(cell: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """As JSON, so that they can be compared; a field that an older version lacks is its default."""
    return {name: _json(cell.get(name, _DEFAULTS[name])) for name in names}


def _json(value: Any) -> str:
    return plain(json.dumps(value, sort_keys=True))


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
