"""prune_online: the same methods around d3rlpy's online training."""

from __future__ import annotations

from typing import Any, cast

import d3rlpy
from d3rlpy.algos import QLearningAlgoBase
from d3rlpy.base import LearnableConfig

from offline_prune.agents.agent import Agent
from offline_prune.agents.build import check_device_of, d3rlpy_device, too_large
from offline_prune.agents.configure import check_config
from offline_prune.base.memory import ran_out
from offline_prune.data import Dataset, load_dataset
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.masks.mask import Mask
from offline_prune.methods import make_method, refuse_replacement
from offline_prune.ofenet import find_ofenet, find_readers, share_ofenet
from offline_prune.request.asked import asked_by
from offline_prune.request.requests import OnlineRequest
from offline_prune.request.setting import checked
from offline_prune.run.choices import any_agents, pruning_settings
from offline_prune.run.pruned_agent import PrunedAgent, hold

__all__ = ["prune_online"]


@asked_by(OnlineRequest)
def prune_online(request: OnlineRequest) -> tuple[PrunedAgent, Mask]:
    """Build an agent for an environment and attach its mask; training is up to you.

    The agent's callback lets the mask change while d3rlpy trains::

        agent, _ = prune_online(env, DQNConfig(), 0.95, n_steps=100_000)
        agent.algo.fit_online(env, n_steps=100_000, callback=agent.callback)
        mask = agent.finish()

    Returns:
        The agent and the mask it starts with, as a pair.

    Raises:
        InputError: If an argument is wrong.

    Examples:
        >>> import d3rlpy
        >>> import gymnasium
        >>> from offline_prune import prune_online
        >>> env = gymnasium.make("CartPole-v1")
        >>> config = d3rlpy.algos.DQNConfig(batch_size=16)
        >>> agent, _ = prune_online(env, config, 0.9, n_steps=100)
        >>> agent.algo.fit_online(
        ...     env, n_steps=100, update_start_step=20, callback=agent.callback,
        ...     show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        ... )
        >>> mask = agent.finish()
        >>> print(f"{mask.sparsity:.2f}")
        0.90
    """
    request = checked(request)
    any_agents(request.method, request.refill, structure=request.structure)
    algo = _built(request)
    agent = Agent.of(algo)
    chosen = make_method(request.method, pruning_settings(request, agent, request.n_steps))
    refuse_replacement(chosen, "prune_online only attaches a mask")
    dataset, buffer = request.dataset, request.buffer
    if dataset is None and not chosen.while_training:
        raise InputError(
            f"{request.method} makes its mask before training, from a dataset. Pass dataset=…, or"
            " a method that prunes while training, such as 'gmp', 'set' or 'rigl'."
        )
    if buffer is None and find_ofenet(algo) is not None:
        raise InputError(
            "This agent's OFENet is trained on the replay buffer: pass the same"
            " buffer=… here and to fit_online."
        )
    # Methods that prune while training look at no dataset.
    data = cast(Dataset, None) if dataset is None else load_dataset(dataset)
    return hold(agent, data, chosen, request.engine, transitions=buffer)


def _built(request: OnlineRequest) -> QLearningAlgoBase[Any, Any]:
    """The algorithm, built for the environment."""
    algo = request.algo
    if isinstance(algo, QLearningAlgoBase):
        check_device_of(algo, request.device)
    if isinstance(algo, LearnableConfig):
        algo = algo.create(device=d3rlpy_device(request.device))
    if not isinstance(algo, QLearningAlgoBase):
        raise AlgorithmError(
            f"algo is a d3rlpy config or a d3rlpy Q-learning algorithm, not {type(algo).__name__}."
        )
    d3rlpy.seed(request.seed)
    check_config(algo.config)
    if algo.impl is None:
        try:
            algo.build_with_env(request.environment)
        except Exception as error:  # whatever d3rlpy raises of what is no environment for it
            if ran_out(error):
                raise too_large(algo, error) from error
            raise AlgorithmError(
                f"{type(algo).__name__} cannot be built for {request.environment!r}"
                f" ({type(error).__name__}: {error}). Expected a gymnasium environment with"
                " spaces that the algorithm takes."
            ) from error
    if find_readers(algo):
        share_ofenet(algo)
    return algo
