"""prune_online: the same methods around d3rlpy's online training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import d3rlpy
from d3rlpy.algos import QLearningAlgoBase
from d3rlpy.base import LearnableConfig

from offline_prune.agents.agent import Agent
from offline_prune.agents.build import check_device_of, d3rlpy_device, too_large
from offline_prune.agents.configure import check_config
from offline_prune.base.arguments import check_seed, whole_number
from offline_prune.base.memory import ran_out
from offline_prune.data import Dataset, load_dataset
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.masks.allocation import Allocation
from offline_prune.masks.build import check_request
from offline_prune.masks.mask import Mask
from offline_prune.methods import MethodLike, PruningSettings, make_method, refuse_replacement
from offline_prune.ofenet import find_ofenet, find_readers, share_ofenet
from offline_prune.request.requests import PruningRequest
from offline_prune.request.setting import check_values
from offline_prune.run.choices import any_agents, chosen_n_batches
from offline_prune.run.pruned_agent import PrunedAgent, hold

__all__ = ["prune_online"]


def prune_online(
    environment: Any,
    algo: Any,
    sparsity: float | Mapping[str, float],
    *,
    n_steps: int,
    method: MethodLike = "gmp",
    dataset: Any = None,
    buffer: Any = None,
    allocation: Allocation | None = None,
    n_batches: int | None = None,
    seed: int = 0,
    engine: str = "auto",
    share_critics: bool = False,
    device: str = "cpu",
) -> tuple[PrunedAgent, Mask]:
    """Build an agent for an environment and attach its mask; training is up to you.

    The agent's callback lets the mask change while d3rlpy trains::

        agent, _ = prune_online(env, DQNConfig(), 0.95, n_steps=100_000)
        agent.algo.fit_online(env, n_steps=100_000, callback=agent.callback)
        mask = agent.finish()

    Args:
        environment: The gymnasium environment to train in.
        algo: A d3rlpy config (``DQNConfig()``, ``SACConfig()``, …) or algorithm; a built
            one keeps its weights.
        sparsity: Fraction of the prunable weights to remove, in [0, 1): one number, or
            role → number.
        n_steps: Environment steps that you will train: schedules are fractions of it.
        method: As in :func:`~offline_prune.run.pipeline.prune_then_train`; without a dataset
            one that prunes while training.
        dataset: What to score on, for a method that scores before training.
        buffer: The replay buffer that ``fit_online`` will fill; needed by an agent with an
            OFENet, whose features are trained on it.
        allocation: How the kept weights are spread over the layers.
        n_batches: Scoring mini-batches of 256 transitions; None takes
            :data:`~offline_prune.saliency.scoring.DEFAULT_N_BATCHES`.
        seed: Of the initial weights and of everything after.
        engine: What holds the zeros.
        share_critics: Whether twin critics share one threshold.
        device: Where the networks are.

    Returns:
        The agent and the mask it starts with, as a pair.

    Raises:
        InputError: If an argument is wrong.
    """
    n_steps, seed = whole_number("n_steps", n_steps, 1), check_seed(seed)
    asked = {
        "sparsity": sparsity,
        "allocation": allocation,
        "n_batches": n_batches,
        "engine": engine,
        "share_critics": share_critics,
        "device": device,
    }
    check_values(PruningRequest, asked)
    any_agents(method)
    if isinstance(algo, QLearningAlgoBase):
        check_device_of(algo, device)
    if isinstance(algo, LearnableConfig):
        algo = algo.create(device=d3rlpy_device(device))
    if not isinstance(algo, QLearningAlgoBase):
        raise AlgorithmError(
            f"algo is a d3rlpy config or a d3rlpy Q-learning algorithm, not {type(algo).__name__}."
        )
    d3rlpy.seed(seed)
    check_config(algo.config)
    if algo.impl is None:
        try:
            algo.build_with_env(environment)
        except Exception as error:  # whatever d3rlpy raises of what is no environment for it
            if ran_out(error):
                raise too_large(algo, error) from error
            raise AlgorithmError(
                f"{type(algo).__name__} cannot be built for {environment!r}"
                f" ({type(error).__name__}: {error}). Expected a gymnasium environment with"
                " spaces that the algorithm takes."
            ) from error
    if find_readers(algo):
        share_ofenet(algo)
    agent = Agent.of(algo)
    settings = PruningSettings(
        sparsity=check_request(agent, sparsity, allocation, share_critics),
        allocation=allocation,
        n_batches=chosen_n_batches(n_batches),
        share_critics=bool(share_critics),
        seed=seed,
        n_steps=n_steps,
    )
    chosen = make_method(method, settings)
    refuse_replacement(chosen, "prune_online only attaches a mask")
    if dataset is None and not chosen.while_training:
        raise InputError(
            f"{method} makes its mask before training, from a dataset. Pass dataset=…, or a"
            " method that prunes while training, such as 'gmp', 'set' or 'rigl'."
        )
    if buffer is None and find_ofenet(algo) is not None:
        raise InputError(
            "This agent's OFENet is trained on the replay buffer: pass the same"
            " buffer=… here and to fit_online."
        )
    # Methods that prune while training look at no dataset.
    data = cast(Dataset, None) if dataset is None else load_dataset(dataset)
    return hold(agent, data, chosen, engine, transitions=buffer)
