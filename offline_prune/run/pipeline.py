"""prune_then_train: from a fixed dataset to a trained, pruned, evaluated agent."""

from __future__ import annotations

import dataclasses
import time

from offline_prune.agents.agent import Agent
from offline_prune.diagnostics import NetworkDiagnostics
from offline_prune.errors import InputError
from offline_prune.masks.build import all_kept, mask_from_kept
from offline_prune.masks.collapse import warn_of_collapse
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import make_parameterization
from offline_prune.methods import refuse_replacement
from offline_prune.request.asked import asked_by
from offline_prune.request.fit_options import fit_options
from offline_prune.request.requests import PruningRequest, ScoringRequest, TrainingRequest
from offline_prune.request.setting import settings
from offline_prune.run.automatic import choose_sparsity, wants_search
from offline_prune.run.averaging import make_averaging
from offline_prune.run.fit_checks import check_epochs
from offline_prune.run.judging import judge
from offline_prune.run.preparation import Prepared, prepare
from offline_prune.run.pruned_agent import PrunedAgent, hold
from offline_prune.run.result import PruneResult
from offline_prune.run.saving import keep
from offline_prune.run.scored import ScoredAgent
from offline_prune.run.training import TrainingRecord, train

__all__ = ["prune", "prune_then_train", "run_request", "score"]


@asked_by(TrainingRequest)
def prune_then_train(request: TrainingRequest) -> PruneResult:
    """Prune an offline-RL agent from the dataset, then train what is left.

    Every network of the algorithm is scored on mini-batches of the dataset with its own
    training loss, all but ``1 − sparsity`` of its weights are removed, and d3rlpy
    trains the rest. At sparsity 0 the run is stock d3rlpy's, bit for bit. With
    ``sparsity="auto"`` dense and ever sparser agents of several seeds are trained and the
    sparsest that keeps ``retain`` of the score is returned; ``result.search`` says why.

    Returns:
        The trained algorithm, its mask and its evaluation.

    Raises:
        InputError: If an argument is wrong, before anything is trained or written;
            the message says what was expected.
        KeyboardInterrupt: If you interrupt it. Once training is done the trained result is
            saved all the same, and the error has it as ``.result``.
        NonFiniteError: If a loss, a score or a weight is NaN or infinite.
        WriteError: If the disk has no room for a checkpoint; the one before stays.
        UnsavedResultError: If training is done and the disk is full, or another process
            took the folder meanwhile; the error has the result as ``.result``, and a
            checkpoint stays.

    Examples:
        >>> from offline_prune import prune_then_train
        >>> result = prune_then_train(
        ...     "pendulum/mixture-v0", "bc", sparsity=0.95, n_steps=100, evaluate=0, progress=False
        ... )
        >>> print(f"{result.mask['actor'].sparsity:.2f}")
        0.95
    """
    if wants_search(request):
        return choose_sparsity(request, run_request)
    return run_request(request)


def run_request(request: TrainingRequest) -> PruneResult:
    """Run a request, from its dataset to its result: :func:`prune_then_train` of keywords.

    Args:
        request: What is asked for.

    Returns:
        As there.
    """
    prepared = prepare(request)
    request = prepared.request
    check_epochs(fit_options(request), prepared.settings.n_steps)
    start = time.perf_counter()
    pruned, _ = _held(prepared, request.feature_steps)
    scoring_seconds = time.perf_counter() - start
    try:
        record = _trained(pruned, prepared)
    except BaseException:
        pruned.release()
        raise
    trained_as = {role: str(choice) for role, choice in pruned.engine.forms.items()}
    agent, mask = _finished(pruned, prepared)
    judged = judge(agent, prepared, record.average)
    result = PruneResult(
        algo=agent.algo,
        mask=mask,
        evaluation=judged.evaluation,
        settings=dataclasses.replace(prepared.settings, algo=agent.name, n_steps=record.steps),
        scoring_seconds=scoring_seconds,
        training_seconds=record.seconds,
        history=record.history,
        last=judged.last,
        trained_as=trained_as,
    )
    keep(result, request, record.checkpoint, judged.interruption)
    return result


@asked_by(PruningRequest)
def prune(request: PruningRequest) -> tuple[PrunedAgent, Mask]:
    """Build an agent, score it, and attach its mask; training is up to you.

    ``agent.algo.fit(load_dataset(dataset).buffer, n_steps=…)`` then trains with the
    pruned weights held at zero. A method that prunes while training needs to know
    ``n_steps`` and to be called: ``fit(…, callback=agent.callback)``, then
    ``agent.finish()``.

    Returns:
        The agent and its mask, as a pair.

    Raises:
        InputError: If an argument is wrong.
        NonFiniteError: If a loss or a score is NaN or infinite.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> agent, mask = prune(data, "bc", sparsity=0.9)
        >>> history = agent.algo.fit(data.buffer, n_steps=50, n_steps_per_epoch=50)
        >>> agent.engine.verify()  # every pruned weight is still zero
    """
    prepared = prepare(request)
    refuse_replacement(prepared.method, "prune only attaches a mask")
    return _held(prepared)


@asked_by(ScoringRequest)
def score(request: ScoringRequest) -> ScoredAgent:
    """Choose a mask, and neither hold it nor train.

    Returns:
        Mask and scores, and the agent they belong to; saved, the mask is a ``method``.

    Raises:
        InputError: If an argument is wrong.
        NonFiniteError: If a loss or a score is NaN or infinite.

    Examples:
        >>> from offline_prune import score
        >>> scored = score("pendulum/mixture-v0", "iql", {"actor": 0.9}, method="snip")
        >>> print(f"{scored.mask['actor'].sparsity:.2f} {scored.mask['critic'].sparsity:.2f}")
        0.90 0.00
    """
    prepared = prepare(request)
    chosen, came_to = prepared.method, dataclasses.asdict(prepared.settings)
    refuse_replacement(chosen, "there is nothing to score")
    if chosen.while_training:
        raise InputError(
            f"{came_to['method']} makes its mask while training: there is nothing to score"
            " before. Call prune_then_train."
        )
    start = time.perf_counter()
    agent = chosen.choose_agent(prepared.agent, prepared.data)
    mask = chosen.before_training(agent, prepared.data)
    seconds = time.perf_counter() - start
    warn_of_collapse(agent, mask)
    asked = {f.name: came_to[f.name] for f in settings(request)}
    asked |= {"algo": agent.name, "versions": came_to["versions"]}
    return ScoredAgent(agent, mask, chosen.scores, asked, seconds)


def _held(prepared: Prepared, feature_steps: int = 0) -> tuple[PrunedAgent, Mask]:
    """Choose the mask and hold it."""
    return hold(
        prepared.agent,
        prepared.data,
        prepared.method,
        prepared.request.engine,
        parameterization=make_parameterization(prepared.settings.parameterization),
        feature_steps=feature_steps,
    )


def _trained(pruned: PrunedAgent, prepared: Prepared) -> TrainingRecord:
    """Train what is left, and measure it meanwhile."""
    request, options = prepared.request, fit_options(prepared.request)
    if request.diagnostics:
        measured = NetworkDiagnostics(prepared.data, seed=request.seed).evaluators(pruned.algo)
        options["evaluators"] = measured | dict(options.get("evaluators", {}))
    return train(
        pruned,
        prepared.data,
        prepared.settings.n_steps,
        fit_options=options,
        averaging=make_averaging(prepared.settings.averaging),
        progress=request.progress,
        checkpoint_dir=request.checkpoint_dir,
    )


def _finished(pruned: PrunedAgent, prepared: Prepared) -> tuple[Agent, Mask]:
    """End training: plain dense weights, and the mask that they have in the end."""
    mask = pruned.finish()
    agent = Agent.of(pruned.algo, pruned.name)
    if prepared.method.replaces_agent:
        agent = prepared.method.after_training(agent, prepared.data)
        mask = mask_from_kept(agent, all_kept(agent))
    return agent, mask
