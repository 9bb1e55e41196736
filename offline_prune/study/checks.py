"""Refuse a study before any of it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from offline_prune.agents.agent import Agent
from offline_prune.agents.build import build_agent
from offline_prune.arguments import check_seed, whole_number
from offline_prune.data import Dataset, load_dataset
from offline_prune.engines import ENGINES
from offline_prune.errors import InputError, OfflinePruneError, UnknownNameError
from offline_prune.evaluation.rollouts import check_episodes
from offline_prune.masks.build import check_request
from offline_prune.methods import PruningSettings, make_method
from offline_prune.methods.initial_weights import Rescaled
from offline_prune.random_state import preserved_random_state
from offline_prune.saliency.scoring import Average
from offline_prune.study.cell import Cell

__all__ = ["check_cells"]


def check_cells(cells: Iterable[Cell]) -> None:
    """Check every name and number of a study, and that its datasets are here.

    Each dataset is loaded once (a generated one is made now, before workers need it), and
    each algorithm built once; nothing is scored or trained.

    Args:
        cells: The cells.

    Raises:
        InputError: If a cell cannot run; the message names it. Its kind is that of the
            first error, such as UnknownNameError.
    """
    datasets: dict[str, Dataset] = {}
    agents: dict[str, tuple[Agent, int]] = {}
    with preserved_random_state():
        for cell in cells:
            try:
                _check(cell, datasets, agents)
            except OfflinePruneError as error:
                error.add_note(f"In the cell: {cell}")
                raise


def _check(cell: Cell, datasets: dict[str, Dataset], agents: dict[str, tuple[Agent, int]]) -> None:
    check_episodes(cell.evaluate)
    for name, least in (("evaluations", 1), ("window", 1), ("feature_steps", 0)):
        whole_number(name, getattr(cell, name), least)
    if cell.n_batches is not None:
        whole_number("n_batches", cell.n_batches, 1)
    if cell.engine not in ENGINES:
        raise UnknownNameError("engine", str(cell.engine), ENGINES)
    if cell.average not in get_args(Average):
        raise UnknownNameError("average", str(cell.average), get_args(Average))
    if cell.dataset not in datasets:
        datasets.clear()  # cells come dataset by dataset; one at a time is in memory
        datasets[cell.dataset] = load_dataset(cell.dataset)
    key = repr((cell.dataset, cell.algo, cell.n_steps, cell.batch_size, cell.algo_params,
                cell.device))  # fmt: skip
    if key not in agents:
        agents[key] = build_agent(
            datasets[cell.dataset],
            cell.algo,
            algo_params=cell.algo_params,
            batch_size=cell.batch_size,
            n_steps=cell.n_steps,
            device=cell.device,
        )
    agent, n_steps = agents[key]
    check_seed(cell.seed)
    if cell.evaluate and n_steps % cell.evaluations:
        raise InputError(
            f"n_steps={n_steps} cannot be evaluated at {cell.evaluations} evenly spaced"
            " points: choose evaluations that divide it."
        )
    settings = PruningSettings(
        sparsity=check_request(agent, cell.sparsity, cell.allocation, cell.share_critics),
        allocation=cell.allocation,
        n_steps=n_steps,
        refill=cell.refill,
    )
    if not cell.is_dense:
        method = make_method(cell.method, settings)
        if cell.rescale:
            Rescaled(method)
