"""The grid of a study: which cells there are."""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from offline_prune.base.arguments import check_seed, shown, whole_number
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.run.automatic import SEARCH_OPTIONS
from offline_prune.study.cell import Cell, plain

__all__ = ["plan", "read_grid"]

_AXES = ("dataset", "algo", "seed", "method", "sparsity")
_OPTIONS = {f.name for f in dataclasses.fields(Cell)} - {*_AXES, "algo_params"}
_GRID = {"datasets", "algos", "sparsities", "methods", "seeds", "algo_params", "exclude"}
_COMMON = "*"
_MOST_SEEDS = 10**6


def plan(
    datasets: str | Path | Sequence[str | Path],
    algos: str | Sequence[str],
    sparsities: Any,
    methods: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    seeds: int | Sequence[int] = 5,
    *,
    algo_params: Mapping[str, Mapping[str, Any]] | None = None,
    exclude: Sequence[Mapping[str, Any]] = (),
    **options: Any,
) -> tuple[Cell, ...]:
    """Make the cells of a grid.

    Sparsity 0 and the method ``"dense"`` stand for one cell, the dense run, not for one
    a method. What may differ between algorithms (``sparsities``, ``methods`` and every
    option) is a value for all, or a mapping algorithm → value, ``"*"`` for the others.

    Args:
        datasets: Ids or paths.
        algos: Names of algorithms.
        sparsities: Fractions to remove, in [0, 1); one may be a mapping role → fraction,
            which in a grid for each algorithm stands in a list, or ``"auto"``.
        methods: Names or expressions of pruning methods, or ``"dense"``.
        seeds: The seeds, or how many from 0 on.
        algo_params: Algorithm → hyperparameters that replace the recipe's; those of
            ``"*"`` go to all.
        exclude: Combinations to leave out: tables of ``dataset``, ``algo``, ``method``,
            ``sparsity``, ``seed`` → a value or a list of them. A cell goes if all agree.
        **options: Further fields of :class:`Cell`: ``n_steps``, ``evaluate``, ….

    Returns:
        The cells, each once: dataset by dataset, in it seed by seed, so that the cells
        done first can be compared.

    Raises:
        UnknownNameError: If an option or an axis does not exist, or a mapping names an
            algorithm that is not in the grid.
        InputError: If no cell is left, or a value is of the wrong kind.

    Examples:
        >>> from offline_prune.study import plan
        >>> cells = plan("pendulum/mixture-v0", ["bc", "iql"], [0.0, 0.9], ["snip", "gmp"], seeds=2)
        >>> len(cells), sum(cell.is_dense for cell in cells)
        (12, 4)
    """
    for name in options:
        if name not in _OPTIONS:
            raise UnknownNameError("option of a sweep", name, _OPTIONS | _GRID)
    named = [str(algo) for algo in _many("algos", algos)]
    of_algorithms = _tables(algo_params)
    per_algorithm = {"methods": methods, **options}
    if isinstance(sparsities, Mapping) and (
        _COMMON in sparsities or any(algo in sparsities for algo in named)
    ):
        per_algorithm["sparsities"] = sparsities
    for field, value in {**per_algorithm, "algo_params": of_algorithms}.items():
        if isinstance(value, Mapping):
            for algo in value:
                if algo not in named and algo != _COMMON:
                    raise UnknownNameError(f"algorithm under {field}", str(algo), named)
    common = of_algorithms.get(_COMMON, {})
    rules = [_rule(entry) for entry in _many("exclude", exclude, least=0)]
    cells: dict[str, Cell] = {}
    for dataset, seed, algo in itertools.product(_many("datasets", datasets), _seeds(seeds), named):
        chosen = {name: _own(name, value, algo) for name, value in options.items()}
        params = {**common, **of_algorithms.get(algo, {})}
        removed = sparsities
        if "sparsities" in per_algorithm:
            removed = _own("sparsities", sparsities, algo)
        names = _many("methods", _own("methods", methods, algo))
        for sparsity, method in itertools.product(_many("sparsities", removed), names):
            cell = Cell(
                dataset=str(dataset),
                algo=algo,
                seed=seed,
                method=str(method),
                sparsity=sparsity,
                algo_params=params,
                **{name: value for name, value in chosen.items() if value is not None},
            )
            if not any(_agrees(rule, cell) for rule in rules):
                cells.setdefault(cell.id, cell)
    if not cells:
        raise InputError("The grid has no cell: everything is excluded.")
    of_searches = [name for name in SEARCH_OPTIONS if name in options]
    if of_searches and not any(cell.is_search for cell in cells.values()):
        raise InputError(
            f"{of_searches[0]} says how a sparsity is chosen, and all of this grid are given. Put"
            " 'auto' among its sparsities, or leave it out."
        )
    return tuple(cells.values())


def read_grid(path: str | Path) -> tuple[Cell, ...]:
    """Read the cells of a grid from a TOML file.

    Tables ``[[grids]]`` make a grid of several: each replaces some of the other entries,
    which then hold for all of them.

    Args:
        path: The file; its entries are the arguments of :func:`plan`.

    Returns:
        The cells, each once and in :func:`plan`'s order.

    Raises:
        InputError: If the file is missing or is no TOML, an entry is missing or of the
            wrong kind, or no cell is left.
        UnknownNameError: If an entry does not exist.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from offline_prune.study import read_grid
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "grid.toml")
        ...     with path.open("w") as file:
        ...         print('datasets = ["pendulum/mixture-v0"]', file=file)
        ...         print('algos = ["bc", "iql"]', file=file)
        ...         print("sparsities = [0.0, 0.95]", file=file)
        ...         print('methods = ["snip"]', file=file)
        ...     cells = read_grid(path)
        >>> len(cells)
        20
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise InputError(f"There is no grid at {path} ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from error
    grids = content.pop("grids", [{}])
    if not isinstance(grids, list) or not grids or not all(isinstance(g, dict) for g in grids):
        raise InputError(f"{path}: grids is a list of tables ([[grids]]), not {grids!r}.")
    parts = [plan(**_complete(path, {**_inherited(content, grid), **grid})) for grid in grids]
    if len(parts) == 1:
        return parts[0]
    cells = {cell.id: cell for part in parts for cell in part}.values()
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    return tuple(sorted(cells, key=lambda c: (datasets.index(c.dataset), c.seed)))


def _inherited(common: dict[str, Any], grid: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for all grids, without what is said of algorithms that this one leaves out."""
    every, own = (_many("algos", entries.get("algos") or "") for entries in (common, grid))
    absent = set(map(str, every)) - set(map(str, own)) if "algos" in grid else set()
    return {
        name: {k: v for k, v in value.items() if k not in absent}
        if isinstance(value, Mapping)
        else value
        for name, value in common.items()
    }


def _complete(path: Path, grid: dict[str, Any]) -> dict[str, Any]:
    for name in grid:
        if name not in _GRID | _OPTIONS:
            raise UnknownNameError(f"entry of {path.name}", name, _GRID | _OPTIONS | {"grids"})
    for name in ("datasets", "algos", "methods", "sparsities"):
        if name not in grid:
            raise InputError(
                f"{path} lacks {name!r}: a grid needs datasets, algos, methods and sparsities."
            )
    return grid


def _many(name: str, value: Any, least: int = 1) -> list[Any]:
    """One value or several, as a list."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    found = list(value) if several else [value]
    if len(found) < least:
        raise InputError(f"{name} is empty: name at least one.")
    return found


def _seeds(seeds: Any) -> list[int]:
    found = _many("seeds", seeds)
    is_list = isinstance(seeds, Sequence) or (isinstance(seeds, np.ndarray) and seeds.ndim)
    if is_list and not isinstance(seeds, str | bytes):
        return [check_seed(seed) for seed in found]
    number = whole_number("seeds", found[0], 1)
    if number > _MOST_SEEDS:
        raise InputError(f"seeds={shown(number)} makes more cells than a study can hold.")
    return list(range(number))


def _tables(algo_params: Any) -> dict[str, Mapping[str, Any]]:
    found = {} if algo_params is None else algo_params
    if not isinstance(found, Mapping) or not all(isinstance(t, Mapping) for t in found.values()):
        raise InputError(
            "algo_params has a table of hyperparameters for each algorithm, or for all of them:"
            f" {{'*': {{'learning_rate': 1e-3}}}}, not {shown(algo_params)}."
        )
    return dict(found)


def _own(name: str, value: Any, algo: str) -> Any:
    """What a value for all, or one for each algorithm, says of this one."""
    if not isinstance(value, Mapping):
        return value
    if algo in value:
        return value[algo]
    if _COMMON in value:
        return value[_COMMON]
    if name in ("methods", "sparsities"):
        raise InputError(f"{name} says nothing about {algo!r}; give it, or {_COMMON!r} for all.")
    return None


def _rule(entry: Mapping[str, Any]) -> dict[str, list[Any]]:
    if not isinstance(entry, Mapping) or not entry:
        raise InputError(f"exclude takes tables of {', '.join(_AXES)}, not {shown(entry)}.")
    for name in entry:
        if name not in _AXES:
            raise UnknownNameError("axis to exclude by", str(name), _AXES)
    return {name: _many(name, plain(name, value)) for name, value in entry.items()}


def _agrees(rule: Mapping[str, list[Any]], cell: Cell) -> bool:
    found = {name: getattr(cell, name) for name in _AXES}
    return all(found[name] in values for name, values in rule.items())
