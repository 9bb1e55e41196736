"""Stable-Baselines3 as the library that trains an agent."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import nn
from torch.optim import Optimizer

from offline_prune.agents.agent import Agent
from offline_prune.agents.host import Host, Stepped, SteppedBy
from offline_prune.agents.network import Loss, Network
from offline_prune.agents.residual_units import residual_units
from offline_prune.agents.separable import Separable, find_separable
from offline_prune.agents.traced_units import traced_units
from offline_prune.agents.units import Units
from offline_prune.base.random_state import seeded_random_state
from offline_prune.errors import AlgorithmError
from offline_prune.hosts.sb3.impala import ImpalaFeatures
from offline_prune.hosts.sb3.losses import loss_of
from offline_prune.hosts.sb3.parts import layers_of, trained_parts
from offline_prune.hosts.wiring import (
    Part,
    Tower,
    chains_of,
    prunable_weights,
    together,
    tree_units,
)

__all__ = ["Sb3Host", "agent_of"]

_BATCH_SIZE = 256


@dataclass(frozen=True)
class Sb3Host(Host):
    """A Stable-Baselines3 model, as engines, scores and methods ask it.

    Attributes:
        algo: The model.
    """

    algo: Any

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The networks that share weights as one module; then the targets."""
        parts = trained_parts(self.algo)
        targets = [part.target for part in parts if part.target is not None]
        groups = [*together(part.online for part in parts), *together(targets)]
        return {f"{number}": Tower(group) for number, group in enumerate(groups)}

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of one observation; images are channels first.

        Raises:
            AlgorithmError: If observations are a Dict.
        """
        space = self.algo.observation_space
        if isinstance(space, spaces.Dict):
            raise AlgorithmError(
                "Observations are a Dict, through which units and paths are not followed. Use a"
                " method that prunes single weights, such as 'gmp' or 'snip'."
            )
        return tuple(space.shape)

    def optimizers(self) -> list[SteppedBy]:
        """Those of the policy, or of actor and critic."""
        found = dict.fromkeys(part.optimizer for part in trained_parts(self.algo))
        return [Stepped.by(optimizer) for optimizer in found]

    def draw_batches(self, data: object, n_batches: int, seed: int) -> list[Any]:
        """Draw mini-batches of what was collected: a rollout, or the replay buffer.

        Args:
            data: Not asked.
            n_batches: How many, of 256 steps or of all there are.
            seed: Of the draw.

        Returns:
            Samples as the model's own buffer gives them.
        """
        model = self.algo
        with seeded_random_state(seed):
            if isinstance(model, OnPolicyAlgorithm):
                # Asking a rollout for mini-batches flattens it: not the model's own.
                rollout = copy.copy(model.rollout_buffer)
                size = min(_BATCH_SIZE, rollout.buffer_size * rollout.n_envs)
                return [next(iter(rollout.get(size))) for _ in range(n_batches)]
            sample, scale = model.replay_buffer.sample, model._vec_normalize_env
            return [sample(_BATCH_SIZE, env=scale) for _ in range(n_batches)]

    def units(self, module: nn.Module, names: Mapping[int, str]) -> Units:
        """A tree of layers, or traced through an extractor of another kind.

        Raises:
            AlgorithmError: If it has to be traced, and observations are a Dict.
        """
        assert isinstance(module, Tower)
        roles = {part.role for part in module.parts}
        parts = [part for part in trained_parts(self.algo) if part.online.role in roles]
        targets = [part.target for part in parts if part.target is not None]
        if (found := tree_units(module.parts, targets, names, layers_of)) is not None:
            return found
        device = self.algo.device
        inputs = [torch.zeros(2, *self.observation_shape, device=device)]
        if module.action_size:
            inputs.append(torch.zeros(2, module.action_size, device=device))
        return Units(traced_units(module, inputs, module.heads, names))


def agent_of(model: Any) -> Agent:
    """Look into a model.

    Args:
        model: A Stable-Baselines3 or sb3-contrib model.

    Returns:
        Its networks, whose losses are what its own ``train`` differentiates.

    Raises:
        AlgorithmError: If its networks are not known, or its observations are a Dict.
    """
    parts = trained_parts(model)
    names = {id(p): name for name, p in model.policy.named_parameters()}
    losses: dict[Optimizer, Loss] = {}
    networks, seen = [], set[int]()
    target_names: dict[int, str] = {}
    for part in parts:
        stepped = {id(p) for group in part.optimizer.param_groups for p in group["params"]}
        weights = prunable_weights(part.online)
        own = {names[id(w)]: w for w in weights if id(w) in stepped - seen}
        seen |= {id(w) for w in own.values()}
        twins: dict[str, nn.Parameter] = {}
        if part.target is not None:
            pairs = zip(weights, prunable_weights(part.target), strict=True)
            twins = {names[id(w)]: twin for w, twin in pairs if names[id(w)] in own}
        target_names |= {id(twin): name for name, twin in twins.items()}
        loss = losses.setdefault(part.optimizer, loss_of(model, part.optimizer))
        networks.append(Network(part.online.role, own, twins, loss))
    online = [part.online for part in parts]
    targets = [part.target for part in parts if part.target is not None]
    chains = chains_of(online, names, model.policy, layers_of)
    target_chains = chains_of(targets, target_names, model.policy, layers_of)
    return Agent(
        host=Sb3Host(model),
        name=type(model).__name__.lower(),
        networks=tuple(networks),
        chains=chains,
        target_chains=target_chains,
        paths=chains_of(online, names, model.policy, layers_of, normalised=True),
        separable=(*find_separable((), names, chains), *_residual(online, names, model.policy)),
        target_separable=(
            *find_separable((), target_names, target_chains),
            *_residual(targets, target_names, model.policy),
        ),
        stacks=(),
        target_stacks=(),
    )


def _residual(parts: list[Part], names: Mapping[int, str], owner: nn.Module) -> list[Separable]:
    """IMPALA encoders that heads alone read."""
    found = []
    for group in together(parts):
        extractors = {id(part.trunk[0]): part.trunk[0] for part in group}
        behind = [m for part in group for top in part.trunk[1:] for m in top.parameters()]
        (extractor,) = extractors.values() if len(extractors) == 1 else (None,)
        if isinstance(extractor, ImpalaFeatures) and not behind:
            heads = [head for part in group for head in part.heads]
            units = residual_units(extractor.encoder, heads, names)
            if units is not None:
                found.append(Separable(*units, owners=(owner,)))
    return found
