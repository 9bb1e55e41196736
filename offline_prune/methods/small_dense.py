"""Baseline: a dense agent with as many weights as the pruned one keeps."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import d3rlpy
import torch
from d3rlpy.models import PixelEncoderFactory, SimBaEncoderFactory, VectorEncoderFactory

from offline_prune.agents.agent import Agent
from offline_prune.agents.sequences import is_sequence_model
from offline_prune.data import Dataset
from offline_prune.encoders import ImpalaEncoderFactory, plain_factory, widths_of, with_widths
from offline_prune.errors import AlgorithmError
from offline_prune.methods.method import PruningMethod
from offline_prune.ofenet import find_ofenet

__all__ = ["SmallDense"]

_STEPS = 512
"""Widths are tried in steps of 1/512 of the original ones."""

_NARROWED = (
    VectorEncoderFactory,
    SimBaEncoderFactory,
    PixelEncoderFactory,
    ImpalaEncoderFactory,
)


class SmallDense(PruningMethod):
    """Train narrower networks, nothing pruned.

    All hidden layers (and the filters of convolutions) of an encoder are scaled by one
    factor, the largest with which the networks that it serves have at most the weights
    that they would keep at the sparsity asked for. A pruned agent that is worth its
    sparsity must beat this one.
    """

    builds_d3rlpy = True
    structures: ClassVar[frozenset[str]] = frozenset()

    def choose_agent(self, agent: Agent, data: Dataset) -> Agent:
        """Build the narrower agent, from the same seed.

        Raises:
            AlgorithmError: If the agent has encoders whose widths are not known here, or is a
                sequence model.
        """
        if is_sequence_model(agent.algo):
            raise AlgorithmError(
                "small_dense narrows encoders, and most weights of"
                f" {type(agent.algo).__name__} are in its transformer. Make the small agent with"
                " algo_params={'hidden_units': [64], 'num_layers': 2}."
            )
        if find_ofenet(agent.algo) is not None:
            raise AlgorithmError(
                "small_dense does not narrow an OFENet. Make the small agent with a smaller"
                " OFENetEncoderFactory(n_layers, units, hidden_units)."
            )
        config = agent.algo.config
        fields = {f.name for f in dataclasses.fields(config)}
        served: dict[str, list[str]] = {}
        for role in agent.roles:
            own = f"{role.partition('[')[0]}_encoder_factory"
            # One for every network; or the actor's, which PLAS's perturbation takes too.
            choices = (own, "encoder_factory", "actor_encoder_factory")
            served.setdefault(next(f for f in choices if f in fields), []).append(role)
        for field, roles in served.items():
            served_networks = [net for net in agent.networks if net.role in roles]
            budget = self.settings.kept_count(served_networks)
            config = self._narrowed(agent, config, field, roles, budget)
        d3rlpy.seed(self.settings.seed)
        return _build(agent, config)

    @staticmethod
    def _narrowed(agent: Agent, config: Any, field: str, roles: list[str], budget: int) -> Any:
        """The config with the widest encoder that stays within the budget."""
        factory = getattr(config, field)
        found = dataclasses.replace(config, **{field: _scaled(agent, factory, 0.0)})
        low, high = 0, _STEPS  # low fits, or is the narrowest there is
        while low < high:
            middle = (low + high + 1) // 2
            candidate = dataclasses.replace(
                config, **{field: _scaled(agent, factory, middle / _STEPS)}
            )
            with torch.random.fork_rng(devices=[]):
                networks = _build(agent, candidate).networks
            if sum(net.n_weights for net in networks if net.role in roles) <= budget:
                low, found = middle, candidate
            else:
                high = middle - 1
        return found


def _build(agent: Agent, config: Any) -> Agent:
    algo = config.create(device=agent.algo.impl.device)
    algo.create_impl(agent.algo.impl.observation_shape, agent.algo.impl.action_size)
    return Agent.of(algo, agent.name)


def _scaled(agent: Agent, factory: Any, scale: float) -> Any:
    """An encoder factory with every width scaled, at least 1."""
    factory = plain_factory(factory, len(tuple(agent.algo.impl.observation_shape)) == 3)
    if not isinstance(factory, _NARROWED):
        raise AlgorithmError(
            "small_dense narrows d3rlpy's vector, SimBa and pixel encoders and IMPALA, not"
            f" {type(factory).__name__}."
        )
    return with_widths(factory, [max(1, round(units * scale)) for units in widths_of(factory)])
