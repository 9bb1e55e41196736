"""Run one cell of a study, and write down what came of it."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from offline_prune.base.atomic import refused_write
from offline_prune.base.versions import versions
from offline_prune.data import Dataset, DatasetMetadata, load_dataset
from offline_prune.evaluation.plan import planned
from offline_prune.evaluation.rollouts import evaluate
from offline_prune.evaluation.statistics import final_window_mean
from offline_prune.masks.collapse import LayerCollapseWarning
from offline_prune.recipes.algorithms import find_recipe
from offline_prune.run.automatic import choose_sparsity
from offline_prune.run.fit_checks import epoch_length
from offline_prune.run.pipeline import run_request
from offline_prune.run.preparation import with_frames
from offline_prune.run.result import PruneResult
from offline_prune.study.cell import Cell
from offline_prune.study.curve import LearningCurve, first_episode, point
from offline_prune.study.records import FORMAT

__all__ = ["NO_ROOM", "failure", "perform"]

NO_ROOM = "no room"
"""Status of a cell that met a full disk: it did not fail, and is not to be recorded."""


def perform(
    cell: Cell,
    checkpoints: Path | None,
    environment: Mapping[str, str],
    each_epoch: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run a cell in this process, on one thread; an error becomes its record.

    Args:
        cell: The cell.
        checkpoints: Folder of the states of unfinished runs; None for none. An
            unfinished run of this cell goes on from there; its state stays until the
            caller has stored the record.
        environment: Variables of the process that started the study.
        each_epoch: Called at the end of every epoch.

    Returns:
        The record: see :mod:`offline_prune.study.records`. Where the disk refused a file its
        status is :data:`NO_ROOM`, its error says which file, and the cell is still to do.
    """
    os.environ.update(environment)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more threads spin, and lose, when a core is busy
    start = time.perf_counter()
    record = _record(cell)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result, curve = _run(cell, checkpoints, each_epoch)
        record["result"] = _numbers(cell, result, curve)
        record["result"]["collapse"] = [
            str(w.message) for w in caught if issubclass(w.category, LayerCollapseWarning)
        ]
        record["timing"] = {
            "scoring_seconds": result.scoring_seconds,
            "training_seconds": result.training_seconds - curve.seconds,
            "curve_seconds": curve.seconds,
        }
    except Exception as error:  # whatever a cell dies of must not stop the others
        record |= _ending(error)
    finally:
        torch.set_num_threads(threads)
    record["timing"]["seconds"] = time.perf_counter() - start
    return record


def failure(cell: Cell, error: str) -> dict[str, Any]:
    """The record of a cell whose process died.

    Args:
        cell: The cell.
        error: What is known of it.

    Returns:
        The record.
    """
    return {**_record(cell), "status": "failed", "error": error, "timing": {"seconds": 0.0}}


def _record(cell: Cell) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "id": cell.id,
        "cell": cell.to_dict(),
        "status": "ok",
        "error": None,
        "traceback": None,
        "result": None,
        "timing": {},
        "versions": {
            "python": platform.python_version(),
            **versions("offline-prune", "d3rlpy", "minari", "torch", "gymnasium", "numpy"),
        },
    }


def _ending(error: Exception) -> dict[str, str]:
    refused = refused_write(error)
    return {
        "status": "failed" if refused is None else NO_ROOM,
        "error": str(refused or f"{type(error).__name__}: {error}"),
        "traceback": "".join(traceback.format_exception(error)),
    }


def _run(
    cell: Cell, checkpoints: Path | None, each_epoch: Callable[[], None]
) -> tuple[PruneResult, LearningCurve]:
    stored = _dataset(cell.dataset, os.environ.get("MINARI_DATASETS_PATH"))
    data = with_frames(stored, cell.frame_stack)
    n_steps = cell.n_steps or _recipe_steps(cell, data.metadata)
    interval = cell.interval(n_steps)
    limits: dict[str, Any] = {
        "max_episode_steps": cell.max_episode_steps,
        "target_return": cell.target_return,
    }
    searched = cell.is_search
    episodes = 0 if searched else cell.episodes  # a search has many agents, and no one curve
    curve = LearningCurve(
        data.metadata, episodes, interval, n_steps, cell.seed, each_epoch, **limits
    )
    request = cell.request(
        dataset=data,
        n_steps=n_steps,
        evaluate=cell.evaluate if searched else "ope" if planned(cell.evaluate).off_policy else 0,
        checkpoint_dir=None if checkpoints is None else checkpoints / cell.id,
        keep_checkpoint=True,  # until there is a record; the sweep removes it then
        progress=False,
        n_steps_per_epoch=epoch_length(interval),
        epoch_callback=curve,
    )
    result = choose_sparsity(request, run_request) if searched else run_request(request)
    seed = first_episode(cell.seed, 0, cell.episodes)
    rolled_out = evaluate(result.algo, data.metadata, cell.episodes, seed=seed, **limits)
    evaluation = dataclasses.replace(rolled_out, off_policy=result.evaluation.off_policy)
    last = result.last
    if last is not None:
        raw = result.with_last_weights().algo
        scored = evaluate(raw, data.metadata, cell.episodes, seed=seed, **limits)
        last = dataclasses.replace(last, evaluation=scored)
    return dataclasses.replace(result, evaluation=evaluation, last=last), curve


@functools.lru_cache(maxsize=2)
def _dataset(name: str, root: str | None) -> Dataset:
    """A dataset for all cells of this process that are on it."""
    return load_dataset(name)


def _recipe_steps(cell: Cell, metadata: DatasetMetadata) -> int:
    recipe = find_recipe(cell.algo, metadata.action_kind)
    return recipe.for_dataset(metadata.dataset_id)[1]


def _numbers(cell: Cell, result: PruneResult, curve: LearningCurve) -> dict[str, Any]:
    """Everything that came out, and nothing that another machine's speed changes."""
    found = result.to_dict()
    points = list(curve.points)
    if found["returns"] is not None:
        points.append(point(found["n_steps"], result.evaluation))
    window: dict[str, float | None] = {}
    for name in ("mean_return", "normalized_score", "success_rate"):
        # A run that an earlier version began has points without success rates.
        values = [p[name] for p in points if p.get(name) is not None]
        window[f"final_window_{name}"] = final_window_mean(values, cell.window) if values else None
    kept = (
        "algo",
        "n_steps",
        "batch_size",
        "allocation",
        "requested_sparsity",
        "sparsity",
        "effective_sparsity",
        "weights",
        "weights_kept",
        "weights_connected",
        "mean_return",
        "std_return",
        "normalized_score",
        "success_rate",
        "returns",
        "parameterization",
        "averaging",
        "last_mean_return",
        "last_normalized_score",
        "last_returns",
        "evaluation_seeds",
        "not_evaluated",
        "off_policy",
        "search",
        "networks",
    )
    return {**{name: found[name] for name in kept}, **window, "curve": points}
