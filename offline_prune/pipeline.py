"""prune_then_train: from a fixed dataset to a trained, pruned, evaluated agent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from offline_prune.agents.agent import Agent
from offline_prune.agents.build import build_agent
from offline_prune.data import Dataset, load_dataset
from offline_prune.engines import Engine, make_engine
from offline_prune.evaluation.rollouts import check_episodes
from offline_prune.evaluation.rollouts import evaluate as evaluate_policy
from offline_prune.masks.build import check_request, warn_of_collapse
from offline_prune.masks.mask import Mask
from offline_prune.methods import PruningMethod, PruningSettings, make_method
from offline_prune.result import PruneResult, RunSettings, check_output_directory
from offline_prune.training import check_epochs, check_fit_options, train

__all__ = ["DEFAULT_N_BATCHES", "PrunedAgent", "prune", "prune_then_train"]

DEFAULT_N_BATCHES = 8
"""Scoring mini-batches of 256 transitions."""


@dataclass(frozen=True)
class PrunedAgent(Agent):
    """An agent whose mask is attached, ready for d3rlpy's ``fit``.

    Attributes:
        engine: Holds the mask. While it does, ``engine.weights()`` has the current
            weights; ``engine.detach()`` lets go, and :attr:`weights` has them again.
    """

    engine: Engine


def prune_then_train(
    dataset: Any,
    algo: Any,
    sparsity: float | Mapping[str, float],
    *,
    method: str = "snip",
    allocation: str = "global",
    n_steps: int | None = None,
    batch_size: int | None = None,
    n_batches: int | None = None,
    seed: int = 0,
    engine: str = "auto",
    evaluate: int = 10,
    algo_params: Mapping[str, Any] | None = None,
    share_critics: bool = False,
    device: str = "cpu",
    output_dir: str | Path | None = None,
    progress: bool = True,
    **fit_options: Any,
) -> PruneResult:
    """Prune an offline-RL agent from the dataset, then train what is left.

    Every network of the algorithm is scored on mini-batches of the dataset with its own
    training loss, all but ``1 − sparsity`` of its weights are removed, and d3rlpy
    trains the rest. At sparsity 0 the run is stock d3rlpy's, bit for bit.

    Args:
        dataset: A Minari id, a Minari dataset, a d3rlpy replay buffer, a path, or what
            :func:`load_dataset` returned.
        algo: ``"bc"``, ``"bcq"``, ``"cql"``, ``"iql"`` or ``"td3_plus_bc"`` (discrete
            forms are chosen by the dataset's actions), a d3rlpy config, or a d3rlpy
            algorithm.
        sparsity: Fraction of the prunable weights to remove, in [0, 1): one number, or
            role → number (``{"actor": .95, "critic": .8}``; others stay dense).
        method: ``"snip"``, ``"grasp"``, ``"magnitude"`` or ``"random"``.
        allocation: ``"global"`` within a network, ``"uniform"`` or ``"erk"``.
        n_steps: Gradient steps; None takes the recipe's.
        batch_size: Transitions a gradient step; None takes the recipe's.
        n_batches: Scoring mini-batches of 256 transitions; None takes
            :data:`DEFAULT_N_BATCHES`.
        seed: Of everything random; the same seed gives the same mask and weights.
        engine: What holds the zeros while d3rlpy trains: ``"auto"``, the fastest for
            each network; ``"masked"``, layers of the original size; ``"compact"``,
            dense layers of the live size; ``"sparse"``, kept weights only, where that
            is possible (CPU, ReLU, the ``fast`` extra). All give the same weights up
            to rounding.
        evaluate: Evaluation episodes; 0 for none.
        algo_params: Hyperparameters that replace the recipe's.
        share_critics: Whether twin critics share one threshold; apart by default,
            because a shared one can starve a head.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.
        output_dir: Where to save the result; a new or empty folder.
        progress: Whether to show progress bars.
        **fit_options: Passed on to d3rlpy's ``fit``: ``logger_adapter``,
            ``evaluators``, ``callback``, ``n_steps_per_epoch``, …

    Returns:
        The trained algorithm, its mask and its evaluation.

    Raises:
        InputError: If an argument is wrong, before anything is trained or written;
            the message says what was expected.
        NonFiniteError: If a loss, a score or a weight is NaN or infinite.
    """
    if output_dir is not None:
        check_output_directory(output_dir)
    check_episodes(evaluate)
    check_fit_options(fit_options)
    data = load_dataset(dataset)
    agent, n_steps = build_agent(
        data,
        algo,
        algo_params=algo_params,
        batch_size=batch_size,
        n_steps=n_steps,
        seed=seed,
        device=device,
    )
    check_epochs(fit_options, n_steps)
    settings = PruningSettings(
        sparsity=check_request(agent, sparsity, allocation, share_critics),
        allocation=allocation,
        n_batches=DEFAULT_N_BATCHES if n_batches is None else n_batches,
        share_critics=share_critics,
        seed=seed,
        n_steps=n_steps,
    )
    chosen = make_method(method, settings)
    start = time.perf_counter()
    holding = make_engine(engine, agent)
    _attach(agent, data, chosen, holding)
    scoring_seconds = time.perf_counter() - start
    try:
        record = train(
            agent,
            data,
            chosen,
            holding,
            n_steps,
            fit_options=fit_options,
            progress=progress,
        )
        mask = chosen.finish(agent)
        holding.verify()
    finally:
        holding.detach()
    evaluation = evaluate_policy(agent.algo, data.metadata, evaluate, seed=seed, progress=progress)
    result = PruneResult(
        algo=agent.algo,
        mask=mask,
        evaluation=evaluation,
        settings=RunSettings(
            dataset=data.metadata.dataset_id,
            algo=agent.name,
            sparsity=dict(settings.sparsity),
            method=method,
            allocation=allocation,
            n_batches=settings.n_batches,
            share_critics=share_critics,
            n_steps=n_steps,
            batch_size=agent.algo.batch_size,
            seed=seed,
            engine=engine,
            device=agent.algo.impl.device,
            versions={
                name: version(name)
                for name in ("offline-prune", "d3rlpy", "minari", "torch", "gymnasium")
            },
        ),
        scoring_seconds=scoring_seconds,
        training_seconds=record.seconds,
        history=record.history,
    )
    if output_dir is not None:
        result.save(output_dir)
    return result


def prune(
    dataset: Any,
    algo: Any,
    sparsity: float | Mapping[str, float],
    *,
    method: str = "snip",
    allocation: str = "global",
    batch_size: int | None = None,
    n_batches: int | None = None,
    seed: int = 0,
    engine: str = "auto",
    algo_params: Mapping[str, Any] | None = None,
    share_critics: bool = False,
    device: str = "cpu",
) -> tuple[PrunedAgent, Mask]:
    """Build an agent, score it, and attach its mask; training is up to you.

    ``agent.algo.fit(load_dataset(dataset).buffer, n_steps=…)`` then trains with the
    pruned weights held at zero.

    Args:
        dataset: As in :func:`prune_then_train`.
        algo: As in :func:`prune_then_train`.
        sparsity: As in :func:`prune_then_train`.
        method: As in :func:`prune_then_train`.
        allocation: As in :func:`prune_then_train`.
        batch_size: As in :func:`prune_then_train`.
        n_batches: As in :func:`prune_then_train`.
        seed: As in :func:`prune_then_train`.
        engine: As in :func:`prune_then_train`.
        algo_params: As in :func:`prune_then_train`.
        share_critics: As in :func:`prune_then_train`.
        device: As in :func:`prune_then_train`.

    Returns:
        The agent and its mask, as a pair.

    Raises:
        InputError: If an argument is wrong.
        NonFiniteError: If a loss or a score is NaN or infinite.
    """
    data = load_dataset(dataset)
    agent, n_steps = build_agent(
        data,
        algo,
        algo_params=algo_params,
        batch_size=batch_size,
        seed=seed,
        device=device,
    )
    settings = PruningSettings(
        sparsity=check_request(agent, sparsity, allocation, share_critics),
        allocation=allocation,
        n_batches=DEFAULT_N_BATCHES if n_batches is None else n_batches,
        share_critics=share_critics,
        seed=seed,
        n_steps=n_steps,
    )
    holding = make_engine(engine, agent)
    mask = _attach(agent, data, make_method(method, settings), holding)
    return PrunedAgent(**vars(agent), engine=holding), mask


def _attach(agent: Agent, data: Dataset, method: PruningMethod, engine: Engine) -> Mask:
    """Let the method choose a mask and the engine hold it."""
    mask = method.before_training(agent, data)
    warn_of_collapse(agent, mask)
    engine.attach(mask)
    return mask
