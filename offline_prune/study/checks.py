"""Refuse a study before any of it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from offline_prune.agents.agent import Agent
from offline_prune.agents.build import build_agent
from offline_prune.base.arguments import whole_number
from offline_prune.base.random_state import preserved_random_state
from offline_prune.data import Dataset, load_dataset
from offline_prune.errors import OfflinePruneError
from offline_prune.evaluation.actors import chosen_target_return
from offline_prune.run.automatic import LADDER, check_search, with_open_at
from offline_prune.run.choices import (
    check_alone,
    check_batches,
    chosen_method,
    chosen_n_batches,
    pruning_settings,
)
from offline_prune.run.preparation import with_frames
from offline_prune.run.pruned_agent import check_feature_steps
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
    cells = tuple(cells)
    with preserved_random_state():
        # A wrong name in the last cell is told before the first dataset is loaded.
        for check in (_check_alone, partial(_check_on_data, datasets=datasets, agents=agents)):
            for cell in cells:
                try:
                    check(cell)
                except OfflinePruneError as error:
                    error.add_note(f"In the cell: {cell}")
                    raise


def _check_alone(cell: Cell) -> None:
    for name in ("evaluations", "window"):
        whole_number(name, getattr(cell, name), 1)
    request = cell.request()
    (check_search if cell.is_search else check_alone)(request)


def _check_on_data(
    cell: Cell, datasets: dict[str, Dataset], agents: dict[str, tuple[Agent, int]]
) -> None:
    if cell.dataset not in datasets:
        datasets.clear()  # cells come dataset by dataset; one at a time is in memory
        datasets[cell.dataset] = load_dataset(cell.dataset)
    key = repr((cell.dataset, cell.algo, cell.n_steps, cell.batch_size, cell.algo_params,
                cell.device, cell.frame_stack))  # fmt: skip
    if key not in agents:
        agents[key] = build_agent(
            with_frames(datasets[cell.dataset], cell.frame_stack),
            cell.algo,
            algo_params=cell.algo_params,
            batch_size=cell.batch_size,
            n_steps=cell.n_steps,
            device=cell.device,
        )
    agent, n_steps = agents[key]
    check_feature_steps(agent.algo, cell.feature_steps)
    n_batches = chosen_n_batches(cell.n_batches)
    check_batches(datasets[cell.dataset], n_batches, agent.algo)
    chosen_target_return(agent.algo, datasets[cell.dataset].metadata, cell.target_return)
    cell.interval(n_steps)
    cell = replace(cell, sparsity=with_open_at(cell.sparsity, LADDER[0]))
    chosen_method(cell.pruning_method, pruning_settings(cell, agent, n_steps), cell.rescale)
