"""The teacher: what a trained algorithm prefers, and how large its acting networks are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from d3rlpy.algos import QLearningAlgoBase
from d3rlpy.models.torch.encoders import PixelEncoder, VectorEncoder
from torch import Tensor

from offline_prune.acting.policy import PLAIN_OWNERS, ActingPolicy, acting_head, acting_policy
from offline_prune.acting.rules import ArgmaxRule
from offline_prune.agents.agent import Agent
from offline_prune.agents.networks import acting_modules
from offline_prune.agents.sequences import is_sequence_model
from offline_prune.data import Dataset
from offline_prune.encoders import plain_factory, widths_of
from offline_prune.errors import AlgorithmError

__all__ = ["Teacher"]

_ENCODERS = (PixelEncoder, VectorEncoder)


@dataclass(frozen=True)
class Teacher:
    """A trained algorithm, frozen; only what decides on its actions.

    Attributes:
        algo: The d3rlpy algorithm; it stays as it is.
        policy: Its acting networks and its rule, sharing no tensor with it.
        networks: The acting modules of the algorithm: a policy, or critics (and the
            imitator of discrete BCQ). The first one is what the first student copies.
        encoder_factory: d3rlpy's vector or pixel encoder factory of the first one.
    """

    algo: Any
    policy: ActingPolicy
    networks: tuple[Any, ...]
    encoder_factory: Any

    @classmethod
    def of(cls, trained: Any, data: Dataset) -> Teacher:
        """Look into a trained algorithm.

        Args:
            trained: A built d3rlpy algorithm, or what has one as ``.algo``: a result or an
                agent of this package.
            data: The dataset that it will teach on.

        Returns:
            The teacher.

        Raises:
            AlgorithmError: If it is no built algorithm, does not fit the dataset, or its
                acting networks are not d3rlpy's plain heads on vector or pixel encoders.
            UnsupportedExportError: If a scaler is not known.
        """
        algo = trained if isinstance(trained, QLearningAlgoBase) else getattr(trained, "algo", None)
        if any(map(is_sequence_model, (trained, algo))):
            raise AlgorithmError(
                "A student acts by one observation, and a sequence model by its whole episode: it"
                " cannot be the teacher. Expected an algorithm such as BC, CQL, IQL or TD3(+BC)."
            )
        if not isinstance(algo, QLearningAlgoBase):
            raise AlgorithmError(
                "A teacher is a trained d3rlpy algorithm or a result of prune_then_train, not"
                f" {type(trained).__name__}."
            )
        Agent.of(algo)  # raises unless it is built and known
        _check_fits(algo, data)
        networks = tuple(acting_modules(algo).values())
        for network in networks:
            encoder = getattr(network, "_encoder", None)
            if type(network) not in PLAIN_OWNERS or type(encoder) not in _ENCODERS:
                raise AlgorithmError(
                    f"A {type(algo).__name__} that acts by {type(network).__name__} on"
                    f" {type(encoder).__name__} cannot be shrunk. Expected a deterministic or"
                    " Gaussian policy, logits, or critics of mean Q values, on d3rlpy's vector"
                    " or pixel encoder: BC, CQL, IQL, TD3(+BC), SAC, DQN, DoubleDQN or discrete"
                    " BC, CQL, BCQ. Continuous BCQ samples its actions; of IMPALA, OFENet and"
                    " custom encoders the widths are not known here."
                )
        config = algo.config
        policy = acting_policy(algo).to(algo.impl.device)
        return cls(
            algo=algo,
            policy=policy,
            networks=networks,
            encoder_factory=plain_factory(
                getattr(config, "actor_encoder_factory", None) or config.encoder_factory,
                len(data.metadata.observation_shape) == 3,
            ),
        )

    @property
    def n_weights(self) -> int:
        """Weights of the acting networks, each once."""
        return self.policy.n_weights

    @property
    def n_parameters(self) -> int:
        """Weights, biases and normalisation of the acting networks, each once."""
        parts = [
            part for network in self.networks for part in (network._encoder, acting_head(network))
        ]
        found = {id(p): p.numel() for part in parts for p in part.parameters()}
        return sum(found.values())

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Widths of the first acting network: units, or filters and feature size."""
        return widths_of(self.encoder_factory)

    @torch.no_grad()
    def preferences(self, observations: Tensor) -> Tensor:
        """What a student is to learn.

        Args:
            observations: (B, *observation shape), scaled as the networks read them.

        Returns:
            (B, A): the score of every discrete action (mean Q value, logit, or discrete
            BCQ's constrained score), or the continuous action in [−1, 1].
        """
        outputs = self.policy.network_outputs(observations)
        rule = self.policy.rule
        if isinstance(rule, ArgmaxRule):
            return rule.scores(outputs)
        found: Tensor = rule(outputs)
        return found


def _check_fits(algo: Any, data: Dataset) -> None:
    metadata = data.metadata
    kind = algo.get_action_type().name.lower()
    found = (kind, algo.impl.action_size, tuple(algo.impl.observation_shape))
    expected = (metadata.action_kind, metadata.action_size, tuple(metadata.observation_shape))
    if found != expected:
        raise AlgorithmError(
            f"The teacher, {type(algo).__name__}, was made for {found[1]} {found[0]} actions"
            f" and observations of shape {found[2]}; this dataset has {expected[1]}"
            f" {expected[0]} ones and observations of shape {expected[2]}."
        )
