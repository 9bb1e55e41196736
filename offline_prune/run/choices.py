"""What a request leaves open, and what is wrong with it before its dataset is loaded."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from offline_prune.agents.agent import Agent
from offline_prune.agents.build import check_algo
from offline_prune.agents.mini_batches import scoring_batch_size
from offline_prune.base.arguments import shown
from offline_prune.base.memory import check_room
from offline_prune.data import Dataset
from offline_prune.errors import InputError
from offline_prune.masks.checks import check_request, check_structure_with
from offline_prune.masks.parameterization import make_parameterization
from offline_prune.methods import (
    MethodLike,
    PruningMethod,
    PruningSettings,
    make_method,
    refuse_replacement,
)
from offline_prune.methods.initial_weights import Rescaled
from offline_prune.request.fit_options import fit_options
from offline_prune.request.options import ScoringOptions
from offline_prune.request.requests import TrainingRequest
from offline_prune.request.setting import checked, values
from offline_prune.run.averaging import NO_AVERAGING, make_averaging
from offline_prune.run.fit_checks import check_fit_options
from offline_prune.saliency.scoring import DEFAULT_N_BATCHES

__all__ = [
    "any_agents",
    "check_alone",
    "check_batches",
    "chosen_averaging",
    "chosen_method",
    "chosen_n_batches",
    "chosen_parameterization",
    "pruning_settings",
]

DEFAULT_AVERAGING = "tail"
"""Of an agent that is pruned before it is trained."""


def check_alone(request: TrainingRequest) -> TrainingRequest:
    """Check every name, number and switch by itself, and those that depend on one another.

    What depends on the dataset or the agent (roles, layers, whether a mask fits) is not
    looked at. A function given as method is not called.

    Args:
        request: The request.

    Returns:
        The request with its values in plain form.

    Raises:
        InputError: If something is wrong.
    """
    request = checked(request)
    check_fit_options(fit_options(request))
    check_algo(request.algo, request.algo_params)
    # Every default makes its mask before training, as SNIP does.
    method = any_agents("snip" if request.method is None else request.method, request.refill,
                        request.rescale, request.structure)  # fmt: skip
    if request.structure is not None:
        check_structure_with(request.structure, request.allocation, request.refill)
    if method is not None:
        chosen_parameterization(request.parameterization, method)
        chosen_averaging(request.averaging, method)
    return request


def any_agents(
    method: MethodLike,
    refill: bool = False,
    rescale: bool = False,
    structure: str | None = None,
) -> PruningMethod | None:
    """Make a pruning method while nothing is known of the agent.

    Args:
        method: As :func:`~offline_prune.methods.make_method` takes it.
        refill: Whether weights that lead nowhere make room for others.
        rescale: Whether kept weights are scaled.
        structure: Of its masks; None for none.

    Returns:
        The method; None for a function, which is called with an agent's settings alone.

    Raises:
        InputError: If there is no such method, or it does not go with the rest.
    """
    if callable(method):
        return None
    # Which networks there are is not known yet; here any has a sparsity.
    anything = PruningSettings(defaultdict(lambda: 0.5), refill=refill, structure=structure)
    return chosen_method(method, anything, rescale)


def check_batches(data: Dataset, n_batches: int, algo: Any) -> None:
    """Refuse mini-batches that this machine's memory cannot hold.

    Args:
        data: What they are drawn from.
        n_batches: Scoring mini-batches.
        algo: What reads them.

    Raises:
        InputError: If one of them is too large.
    """
    row = data.buffer.transition_bytes * getattr(algo.config, "context_size", 1)
    scored = n_batches * min(scoring_batch_size(algo), data.buffer.transition_count)
    check_room(f"n_batches={shown(n_batches)}", scored * row)
    check_room(f"batch_size={shown(algo.batch_size)}", algo.batch_size * row)


def pruning_settings(request: Any, agent: Agent, n_steps: int) -> PruningSettings:
    """What a request asks of a pruning method, once its agent is known.

    Args:
        request: A request, or a cell of a study.
        agent: Its agent.
        n_steps: Steps that training will take.

    Returns:
        The settings of the method.

    Raises:
        InputError: If sparsities or densities do not fit the agent.
    """
    options = values(request, ScoringOptions)
    options["n_batches"] = chosen_n_batches(request.n_batches)
    return PruningSettings(
        check_request(
            agent,
            request.sparsity,
            request.allocation,
            request.share_critics,
            request.structure,
            request.refill,
        ),
        seed=request.seed,
        n_steps=n_steps,
        **options,
    )


def chosen_n_batches(n_batches: int | None) -> int:
    """Choose how many mini-batches are scored.

    Args:
        n_batches: What was asked for; None leaves the choice.

    Returns:
        The number.
    """
    return DEFAULT_N_BATCHES if n_batches is None else int(n_batches)


def chosen_method(method: MethodLike, settings: PruningSettings, rescale: bool) -> PruningMethod:
    """Make a pruning method, with rescaled initial weights or without.

    Args:
        method: As :func:`~offline_prune.methods.make_method` takes it.
        settings: What the user asked for.
        rescale: Whether kept weights are scaled for the fan-in that is left.

    Returns:
        The method.

    Raises:
        InputError: If there is no such method, or it has no mask to rescale.
    """
    chosen = make_method(method, settings)
    if rescale:
        refuse_replacement(chosen, "rescale has no mask to change")
    return Rescaled(chosen) if rescale else chosen


def chosen_parameterization(
    parameterization: str | None,
    method: PruningMethod,
    *,
    advised: str = "sparse",
    trained: bool = False,
) -> str:
    """Choose how initial weights and steps follow from the weights that a layer keeps.

    Args:
        parameterization: What was asked for; None leaves the choice.
        method: The pruning method.
        advised: What suits the algorithm.
        trained: Whether the algorithm came with weights of its own.

    Returns:
        The name: the advised one for masks that are made before training and then stay, on
        initial weights; else ``"standard"``: trained weights are not to be
        scaled, and masks that follow large weights are over-corrected.

    Raises:
        InputError: If there is no such parameterization, or weights would be scaled twice.
    """
    if parameterization is None:
        settled = not (method.while_training or method.replaces_agent or method.scales_weights)
        return advised if settled and not trained else "standard"
    if method.scales_weights and make_parameterization(parameterization).initial:
        raise InputError(
            f"parameterization={parameterization!r} scales initial weights for the fan-in that"
            " is left, and so does rescale (and the method 'rescaled(…)'). Ask for one of them."
        )
    return parameterization


def chosen_averaging(averaging: str | None, method: PruningMethod, *, dense: bool = False) -> str:
    """Choose which weights of the acting networks are averaged.

    Args:
        averaging: What was asked for; None leaves the choice.
        method: The pruning method.
        dense: Whether nothing is pruned.

    Returns:
        The name: :data:`DEFAULT_AVERAGING` for masks that are made before training; else
        ``"none"``: a dense run is stock d3rlpy's.

    Raises:
        InputError: If there is no such averaging, or the method replaces the agent that
            was averaged.
    """
    if averaging is None:
        stays = not (method.while_training or method.replaces_agent or dense)
        return DEFAULT_AVERAGING if stays else "none"
    if make_averaging(averaging) != NO_AVERAGING:
        refuse_replacement(method, "nothing would be left of an average of its weights")
    return averaging
