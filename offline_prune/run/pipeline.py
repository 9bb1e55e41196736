"""prune_then_train: from a fixed dataset to a trained, pruned, evaluated agent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from offline_prune.agents.agent import Agent
from offline_prune.agents.build import build_agent, check_algo
from offline_prune.base.arguments import (
    check_seed,
    check_switch,
    folder_path,
    in_one_line,
    whole_number,
)
from offline_prune.data import Dataset, load_dataset
from offline_prune.diagnostics import NetworkDiagnostics
from offline_prune.errors import InputError, OutputDirectoryError, UnsavedResultError, WriteError
from offline_prune.evaluation.evaluation import Evaluation, not_evaluated
from offline_prune.evaluation.rollouts import check_episodes
from offline_prune.evaluation.rollouts import evaluate as evaluate_policy
from offline_prune.masks.allocation import Allocation
from offline_prune.masks.build import (
    all_kept,
    check_request,
    mask_from_kept,
    warn_of_collapse,
)
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import make_parameterization
from offline_prune.methods import MethodLike, PruningMethod, PruningSettings, refuse_replacement
from offline_prune.methods.default import default_pruning
from offline_prune.run.averaging import acting_weights, load_acting_weights, make_averaging
from offline_prune.run.checkpoint import Checkpoint
from offline_prune.run.folder import check_output_directory
from offline_prune.run.pruned_agent import PrunedAgent, hold
from offline_prune.run.request import (
    check_batches,
    check_options,
    chosen_averaging,
    chosen_method,
    chosen_n_batches,
    chosen_parameterization,
)
from offline_prune.run.result import LastWeights, PruneResult
from offline_prune.run.scored import ScoredAgent
from offline_prune.run.settings import RunSettings
from offline_prune.run.training import check_epochs, check_fit_options, train
from offline_prune.saliency.scoring import Average

__all__ = ["prune", "prune_then_train", "score"]


def prune_then_train(
    dataset: Any,
    algo: Any,
    sparsity: float | Mapping[str, float],
    *,
    method: MethodLike | None = None,
    allocation: Allocation | None = None,
    n_steps: int | None = None,
    batch_size: int | None = None,
    n_batches: int | None = None,
    average: Average = "gradients",
    float64: bool = False,
    refill: bool = False,
    rescale: bool = False,
    parameterization: str | None = None,
    averaging: str | None = None,
    seed: int = 0,
    engine: str = "auto",
    evaluate: int = 10,
    algo_params: Mapping[str, Any] | None = None,
    share_critics: bool = False,
    device: str = "cpu",
    diagnostics: bool = False,
    feature_steps: int = 0,
    output_dir: str | Path | None = None,
    checkpoint_dir: str | Path | None = None,
    keep_checkpoint: bool = False,
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
        method: A name: before training ``"snip_flow"``, ``"snip"``, ``"grasp"``, ``"synflow"``,
            ``"random"``, …; while training ``"gmp"``, ``"set"``, ``"rigl"``, ``"gates"``;
            afterwards ``"pops"``, whose agent is a small dense student; an expression such
            as ``"shuffled(snip)"`` or ``"force(rounds=20)"``; a mask, or the path of a
            saved one (:func:`~offline_prune.methods.make_method`). None: what keeps most of the
            algorithm's return (:func:`~offline_prune.methods.default.default_pruning`):
            mostly ``"snip_flow"``.
        allocation: ``"global"`` within a network; ``"floor"``, the same with a least fan-in
            (``"floor(fan_in=8)"``) or density (``"floor(density=0.1)"``) of every layer;
            ``"uniform"``, ``"erk"``; ``"constant_fan_in"``, every unit of a layer keeps as many
            weights, the layers by ERK (``"constant_fan_in(layers=global)"``); or the density
            of every layer by weight name. None for the method's own: ERK for those that
            prune while training, else global.
        n_steps: Gradient steps; None takes the recipe's.
        batch_size: Transitions a gradient step; None takes the recipe's.
        n_batches: Scoring mini-batches of 256 transitions; None takes
            :data:`~offline_prune.saliency.scoring.DEFAULT_N_BATCHES`.
        average: What is averaged over the mini-batches: ``"gradients"``, which may
            cancel, or ``"scores"``, which do not.
        float64: Whether to score in double precision.
        refill: Whether kept weights that lead nowhere make room for the next best.
        rescale: Whether to scale a unit's kept weights by ``sqrt(fan-in / kept
            fan-in)`` before training; short for ``"rescaled(method)"``.
        parameterization: How initial weights and optimizer steps follow from the weights that
            a layer keeps: ``"sparse"``, so that it learns as fast as the dense layer would
            (:class:`~offline_prune.masks.parameterization.Parameterization`), also with
            numbers, ``"sparse(exponent=0.5, cap=10)"``; ``"standard"``, as in the dense
            network. None: what suits the algorithm where the mask is made before training,
            on initial weights.
        averaging: Whether the trained agent acts by an average of its weights: ``"tail"``,
            their mean over the last quarter of training (``"tail(0.5)"``: the second half);
            ``"exponential"``; ``"none"``. None: tail where the mask is made before training.
            Training itself does not notice; ``result.last`` has the last weights.
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
        diagnostics: Whether to measure the networks after every epoch, into the history
            and d3rlpy's loggers: dormant units, srank, norms, Q values, sparsity
            (:class:`~offline_prune.diagnostics.NetworkDiagnostics`).
        feature_steps: Auxiliary steps that train an OFENet's features before anything is
            scored or pruned; only with ``algo_params={"encoder": "ofenet"}``.
        output_dir: Where to save the result; a new or empty folder.
        checkpoint_dir: Folder for the state of the run after every epoch, which runs may
            share. A run that was killed goes on from there when it is called again, and
            ends with the same weights, bit for bit on the CPU; agents with an OFENet and
            methods that prune while training start from their beginning. The state is
            removed when the run is done and its result saved.
        keep_checkpoint: Whether the state stays nevertheless: for a caller that has yet to
            store what this returns. The same call then evaluates, and trains nothing.
        progress: Whether to show progress bars.
        **fit_options: Passed on to d3rlpy's ``fit``: ``logger_adapter``,
            ``evaluators``, ``callback``, ``n_steps_per_epoch``, …; and ``early_stopping``, an
            :class:`~offline_prune.run.early_stopping.EarlyStopping`. A callback that raises
            :class:`~offline_prune.run.early_stopping.StopTraining` ends training, and nothing else.

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
    """
    if output_dir is not None:
        check_output_directory(output_dir)
    if checkpoint_dir is not None:
        folder_path("checkpoint_dir", checkpoint_dir)
    evaluate, seed = check_episodes(evaluate), check_seed(seed)
    feature_steps = whole_number("feature_steps", feature_steps, 0)
    diagnostics = check_switch("diagnostics", diagnostics)
    keep_checkpoint = check_switch("keep_checkpoint", keep_checkpoint)
    progress = check_switch("progress", progress)
    check_fit_options(fit_options)
    trained = _is_built(algo)
    data, agent, chosen, settings, asked_method, advised = _begin(
        dataset,
        algo,
        sparsity,
        method,
        engine=engine,
        rescale=rescale,
        allocation=allocation,
        n_steps=n_steps,
        batch_size=batch_size,
        n_batches=n_batches,
        average=average,
        float64=float64,
        refill=refill,
        parameterization=parameterization,
        averaging=averaging,
        seed=seed,
        algo_params=algo_params,
        share_critics=share_critics,
        device=device,
    )
    parameterization = chosen_parameterization(
        parameterization, chosen, advised=advised, trained=trained
    )
    dense = not any(settings.sparsity.values())
    averaging = chosen_averaging(averaging, chosen, dense=dense)
    n_steps = settings.n_steps
    check_epochs(fit_options, n_steps)
    start = time.perf_counter()
    pruned, _ = hold(
        agent,
        data,
        chosen,
        engine,
        parameterization=make_parameterization(parameterization),
        feature_steps=feature_steps,
    )
    scoring_seconds = time.perf_counter() - start
    try:
        if diagnostics:
            measured = NetworkDiagnostics(data, seed=seed).evaluators(pruned.algo)
            fit_options["evaluators"] = measured | (fit_options.get("evaluators") or {})
        record = train(
            pruned,
            data,
            n_steps,
            fit_options=fit_options,
            averaging=make_averaging(averaging),
            progress=progress,
            checkpoint_dir=checkpoint_dir,
        )
    except BaseException:
        pruned.release()
        raise
    mask = pruned.finish()
    agent = Agent.of(pruned.algo, pruned.name)
    if chosen.replaces_agent:
        agent = chosen.after_training(agent, data)
        mask = mask_from_kept(agent, all_kept(agent))
    evaluation, last, interruption = _evaluations(
        agent, data, record.average, episodes=evaluate, seed=seed, progress=progress
    )
    result = PruneResult(
        algo=agent.algo,
        mask=mask,
        evaluation=evaluation,
        settings=RunSettings(
            dataset=data.metadata.dataset_id,
            algo=agent.name,
            sparsity=dict(settings.sparsity),
            method=asked_method,
            allocation=_name(chosen.settings.allocation),
            n_batches=settings.n_batches,
            share_critics=settings.share_critics,
            n_steps=record.steps,
            batch_size=agent.algo.batch_size,
            seed=seed,
            engine=engine,
            device=agent.algo.impl.device,
            versions=_versions(),
            average=average,
            float64=settings.float64,
            refill=settings.refill,
            rescale=bool(rescale),
            feature_steps=feature_steps,
            parameterization=parameterization,
            averaging=averaging,
        ),
        scoring_seconds=scoring_seconds,
        training_seconds=record.seconds,
        history=record.history,
        last=last,
    )
    if output_dir is not None:
        _save(result, output_dir, record.checkpoint)
    if interruption is not None:
        interruption.result = result  # type: ignore[attr-defined]
        interruption.add_note("Training was done: the trained result is this error's .result.")
        raise interruption
    if record.checkpoint is not None and not keep_checkpoint:
        record.checkpoint.remove()
    return result


def prune(
    dataset: Any,
    algo: Any,
    sparsity: float | Mapping[str, float],
    *,
    method: MethodLike | None = None,
    allocation: Allocation | None = None,
    n_steps: int | None = None,
    batch_size: int | None = None,
    n_batches: int | None = None,
    average: Average = "gradients",
    float64: bool = False,
    refill: bool = False,
    rescale: bool = False,
    parameterization: str | None = None,
    seed: int = 0,
    engine: str = "auto",
    algo_params: Mapping[str, Any] | None = None,
    share_critics: bool = False,
    device: str = "cpu",
) -> tuple[PrunedAgent, Mask]:
    """Build an agent, score it, and attach its mask; training is up to you.

    ``agent.algo.fit(load_dataset(dataset).buffer, n_steps=…)`` then trains with the
    pruned weights held at zero. A method that prunes while training needs to know
    ``n_steps`` and to be called: ``fit(…, callback=agent.callback)``, then
    ``agent.finish()``.

    Args:
        dataset: This and all others as in :func:`prune_then_train`.
        algo: The algorithm.
        sparsity: Fraction of the prunable weights to remove.
        method: What chooses the mask; None as there.
        allocation: How the kept weights are spread over the layers.
        n_steps: Gradient steps that you will train.
        batch_size: Transitions a gradient step.
        n_batches: Scoring mini-batches.
        average: What is averaged over them.
        float64: Whether to score in double precision.
        refill: Whether kept weights that lead nowhere make room for the next best.
        rescale: Whether kept weights are scaled for the fan-in that is left.
        parameterization: How initial weights and steps follow from the weights kept.
        seed: Of everything random.
        engine: What holds the zeros.
        algo_params: Hyperparameters that replace the recipe's.
        share_critics: Whether twin critics share one threshold.
        device: Where the networks are.

    Returns:
        The agent and its mask, as a pair.

    Raises:
        InputError: If an argument is wrong.
        NonFiniteError: If a loss or a score is NaN or infinite.
    """
    trained = _is_built(algo)  # building it gives an algorithm weights too
    data, agent, chosen, *_, advised = _begin(
        dataset,
        algo,
        sparsity,
        method,
        engine=engine,
        rescale=rescale,
        allocation=allocation,
        n_steps=n_steps,
        batch_size=batch_size,
        n_batches=n_batches,
        average=average,
        float64=float64,
        refill=refill,
        parameterization=parameterization,
        seed=seed,
        algo_params=algo_params,
        share_critics=share_critics,
        device=device,
    )
    refuse_replacement(chosen, "prune only attaches a mask")
    parameterization = chosen_parameterization(
        parameterization, chosen, advised=advised, trained=trained
    )
    return hold(
        agent, data, chosen, engine, parameterization=make_parameterization(parameterization)
    )


def score(
    dataset: Any,
    algo: Any,
    sparsity: float | Mapping[str, float],
    *,
    method: MethodLike | None = None,
    allocation: Allocation | None = None,
    n_batches: int | None = None,
    average: Average = "gradients",
    float64: bool = False,
    refill: bool = False,
    seed: int = 0,
    algo_params: Mapping[str, Any] | None = None,
    share_critics: bool = False,
    device: str = "cpu",
) -> ScoredAgent:
    """Choose a mask, and neither hold it nor train.

    Args:
        dataset: This and all others as in :func:`prune_then_train`.
        algo: The algorithm.
        sparsity: Fraction of the prunable weights to remove.
        method: What chooses the mask; None as there.
        allocation: How the kept weights are spread over the layers.
        n_batches: Scoring mini-batches.
        average: What is averaged over them.
        float64: Whether to score in double precision.
        refill: Whether kept weights that lead nowhere make room for the next best.
        seed: Of everything random.
        algo_params: Hyperparameters that replace the recipe's.
        share_critics: Whether twin critics share one threshold.
        device: Where the networks are.

    Returns:
        Mask and scores, and the agent they belong to; saved, the mask is a ``method``.

    Raises:
        InputError: If an argument is wrong.
        NonFiniteError: If a loss or a score is NaN or infinite.
    """
    data, agent, chosen, settings, asked_method, _ = _begin(
        dataset,
        algo,
        sparsity,
        method,
        allocation=allocation,
        n_steps=None,
        batch_size=None,
        n_batches=n_batches,
        average=average,
        float64=float64,
        refill=refill,
        seed=seed,
        algo_params=algo_params,
        share_critics=share_critics,
        device=device,
    )
    refuse_replacement(chosen, "there is nothing to score")
    if chosen.while_training:
        raise InputError(
            f"{asked_method} makes its mask while training: there is nothing to score"
            " before. Call prune_then_train."
        )
    start = time.perf_counter()
    agent = chosen.choose_agent(agent, data)
    mask = chosen.before_training(agent, data)
    seconds = time.perf_counter() - start
    warn_of_collapse(agent, mask)
    asked = {
        "dataset": data.metadata.dataset_id,
        "algo": agent.name,
        "sparsity": dict(settings.sparsity),
        "method": asked_method,
        "allocation": _name(chosen.settings.allocation),
        "n_batches": settings.n_batches,
        "average": average,
        "float64": settings.float64,
        "refill": settings.refill,
        "seed": settings.seed,
        "share_critics": settings.share_critics,
        "versions": _versions(),
    }
    return ScoredAgent(agent, mask, chosen.scores, asked, seconds)


class _Begun(NamedTuple):
    """What a request comes to, before anything is scored."""

    data: Dataset
    agent: Agent
    method: PruningMethod
    settings: PruningSettings
    name: str
    parameterization: str


def _begin(
    dataset: Any,
    algo: Any,
    sparsity: float | Mapping[str, float],
    method: MethodLike | None,
    *,
    algo_params: Mapping[str, Any] | None,
    rescale: bool = False,
    **options: Any,
) -> _Begun:
    """Check what is asked for, load the dataset, and build the agent."""
    check_algo(algo, algo_params)
    check_options(method, sparsity=sparsity, rescale=rescale, **options)
    data = load_dataset(dataset)
    agent, n_steps = build_agent(
        data,
        algo,
        algo_params=algo_params,
        **{name: options[name] for name in ("n_steps", "batch_size", "seed", "device")},
    )
    advice = default_pruning(agent, data.metadata.dataset_id)
    refill = bool(options["refill"])
    if method is None:
        method, refill = advice.method, refill or advice.refill
    allocation, share_critics = options["allocation"], options["share_critics"]
    n_batches = chosen_n_batches(options["n_batches"])
    settings = PruningSettings(
        sparsity=check_request(agent, sparsity, allocation, share_critics),
        allocation=allocation,
        n_batches=n_batches,
        share_critics=bool(share_critics),
        seed=int(options["seed"]),
        n_steps=n_steps,
        average=options["average"],
        float64=bool(options["float64"]),
        refill=refill,
    )
    check_batches(data, n_batches, agent.algo.batch_size)
    chosen = chosen_method(method, settings, rescale)
    return _Begun(data, agent, chosen, settings, _name(method), advice.parameterization)


def _is_built(algo: Any) -> bool:
    """Whether an algorithm comes with weights of its own."""
    return getattr(algo, "impl", None) is not None


def _evaluations(
    agent: Agent,
    data: Dataset,
    average: Mapping[str, Any] | None,
    *,
    episodes: int,
    seed: int,
    progress: bool,
) -> tuple[Evaluation, LastWeights | None, BaseException | None]:
    """Score the trained agent, by averaged weights and the last ones; lose it to nothing.

    Returns:
        The evaluation; the last weights and theirs, where there is an average; and what
        interrupted it, if anything did. The agent acts by the average then.
    """

    def evaluated() -> Evaluation:
        try:
            return evaluate_policy(
                agent.algo, data.metadata, episodes, seed=seed, progress=progress
            )
        except Exception as error:  # a policy that fails is still a trained one
            return not_evaluated(f"the policy failed ({in_one_line(error)})")

    evaluation = of_last = not_evaluated("it was interrupted")
    weights = None if average is None else acting_weights(agent.algo)
    interruption: BaseException | None = None
    try:
        if average is not None:
            of_last = evaluated()
            load_acting_weights(agent.algo, average)
        evaluation = evaluated()
    except (KeyboardInterrupt, SystemExit) as error:
        interruption = error
    if average is not None:
        load_acting_weights(agent.algo, average)
    return evaluation, None if weights is None else LastWeights(weights, of_last), interruption


def _save(result: PruneResult, directory: str | Path, checkpoint: Checkpoint | None) -> None:
    """Save a result; hours of training must not end with a folder that is taken."""
    try:
        result.save(directory)
    except (OutputDirectoryError, WriteError) as error:
        message = f"Training is done, but its result could not be saved: {error}"
        message += (
            " The trained result is this error's .result; error.result.save(folder) keeps it."
        )
        if checkpoint is not None:
            message += (
                f" Its state is in {checkpoint.path} too: the same run with another output"
                " directory does not train again."
            )
        raise UnsavedResultError(message, result) from error


def _name(value: object) -> str:
    """What was asked for, in words a file can hold."""
    if isinstance(value, str | Path):
        return str(value)
    return "a mask" if isinstance(value, Mask) else getattr(value, "__name__", "given")


def _versions() -> dict[str, str]:
    packages = ("offline-prune", "d3rlpy", "minari", "torch", "gymnasium")
    return {name: _version(name) for name in packages}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a checkout on the path: no reason to lose a trained agent
        return "not installed"
