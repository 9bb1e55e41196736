"""Which networks an algorithm has, their targets and their losses.

One entry of :data:`LAYOUTS` an algorithm. A new algorithm is one new entry.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from torch import Tensor, nn

from offline_prune.agents import losses
from offline_prune.agents.network import Batch, Network, is_prunable
from offline_prune.errors import AlgorithmError
from offline_prune.ofenet import auxiliary_batch_loss, find_ofenet

__all__ = ["LAYOUTS", "Part", "acting_modules", "find_networks", "top_modules"]

RawLoss = Callable[[Any, Batch], Tensor]


@dataclass(frozen=True)
class Part:
    """Where a network lives in d3rlpy's modules.

    Attributes:
        role: The network's role; ``"critic"`` stands for one network a head of the
            ensemble, ``critic[0]``, ``critic[1]``, …
        modules: Names of the fields of ``impl.modules`` that hold it.
        targets: Names of the fields that hold its target, in the same order.
        loss: The loss that trains it.
        acts: Whether the policy that is deployed computes with it.
        within: The parts of these modules whose layers are prunable; empty for all of them.
    """

    role: str
    modules: tuple[str, ...]
    targets: tuple[str, ...]
    loss: RawLoss
    acts: bool = True
    within: tuple[str, ...] = ()


def _actor_critic(*, policy_target: bool, critic_acts: bool = False) -> tuple[Part, ...]:
    loss = losses.continuous_critic_loss
    return (
        Part("actor", ("policy",), ("targ_policy",) if policy_target else (), losses.actor_loss),
        Part("critic", ("q_funcs",), ("targ_q_funcs",), loss, acts=critic_acts),
    )


_VAE = ("vae_encoder", "vae_decoder")
_LATENT_ACTOR = (
    *_actor_critic(policy_target=True),
    Part("imitator", _VAE, (), losses.vae_loss),
)
_IMITATION = (Part("actor", ("imitator",), (), losses.behavior_cloning_loss),)
# What makes tokens (observations, actions, returns and times embedded) stays dense.
_BLOCKS_AND_HEAD = ("_gpt2", "_output")
_SEQUENCES = (Part("actor", ("transformer",), (), losses.sequence_loss, within=_BLOCKS_AND_HEAD),)
_DISCRETE_CRITIC = (Part("critic", ("q_funcs",), ("targ_q_funcs",), losses.discrete_critic_loss),)

LAYOUTS: dict[str, tuple[Part, ...]] = {
    "BCConfig": _IMITATION,
    "DiscreteBCConfig": _IMITATION,
    "TD3PlusBCConfig": _actor_critic(policy_target=True),
    "TD3Config": _actor_critic(policy_target=True),
    "ReBRACConfig": _actor_critic(policy_target=True),
    "DDPGConfig": _actor_critic(policy_target=True),
    "SACConfig": _actor_critic(policy_target=False),
    "AWACConfig": _actor_critic(policy_target=False),
    "CQLConfig": _actor_critic(policy_target=False),
    "CalQLConfig": _actor_critic(policy_target=False),
    # It draws actions and takes one by its critic's odds.
    "CRRConfig": _actor_critic(policy_target=True, critic_acts=True),
    "IQLConfig": (
        *_actor_critic(policy_target=False),
        Part("value", ("value_func",), (), losses.continuous_critic_loss, acts=False),
    ),
    "BCQConfig": (
        Part("actor", ("policy",), ("targ_policy",), losses.residual_actor_loss),
        Part("critic", ("q_funcs",), ("targ_q_funcs",), losses.continuous_critic_loss),
        Part("imitator", _VAE, (), losses.vae_loss),
    ),
    "PLASConfig": _LATENT_ACTOR,
    "PLASWithPerturbationConfig": (
        *_LATENT_ACTOR,
        Part("perturbation", ("perturbation",), ("targ_perturbation",), losses.actor_loss),
    ),
    "BEARConfig": (
        *_actor_critic(policy_target=False, critic_acts=True),
        Part("imitator", _VAE, (), losses.bear_vae_loss, acts=False),
    ),
    "DiscreteSACConfig": (
        Part("actor", ("policy",), (), losses.discrete_actor_loss),
        Part("critic", ("q_funcs",), ("targ_q_funcs",), losses.soft_critic_loss, acts=False),
    ),
    "NFQConfig": _DISCRETE_CRITIC,
    "DQNConfig": _DISCRETE_CRITIC,
    "DoubleDQNConfig": _DISCRETE_CRITIC,
    "DiscreteCQLConfig": _DISCRETE_CRITIC,
    "DiscreteBCQConfig": (
        *_DISCRETE_CRITIC,
        Part("imitator", ("imitator",), (), losses.discrete_critic_loss),
    ),
    "DecisionTransformerConfig": _SEQUENCES,
    "DiscreteDecisionTransformerConfig": _SEQUENCES,
    "TACRConfig": (
        Part("actor", ("transformer",), (), losses.sequence_actor_loss, within=_BLOCKS_AND_HEAD),
        Part("critic", ("q_funcs",), ("targ_q_funcs",), losses.sequence_critic_loss, acts=False),
    ),
}
"""Name of the d3rlpy config class → the networks of the algorithm."""

_REFUSED = {
    "PRDC": "its actor's loss asks for the nearest action in the data, in an index that d3rlpy"
    " makes when training starts, one for all PRDC agents of a process: there is nothing to"
    " score with before. TD3+BC and ReBRAC are close to it",
}
"""Algorithm of d3rlpy that cannot be pruned before training → why."""


def _prunable(modules: Mapping[str, nn.Module], seen: set[int]) -> dict[str, nn.Parameter]:
    """Prunable weights by qualified name; a shared one belongs to its first network."""
    weights: dict[str, nn.Parameter] = {}
    for prefix, top in modules.items():
        for name, module in top.named_modules():
            if is_prunable(module) and id(module.weight) not in seen:
                seen.add(id(module.weight))
                weights[".".join(filter(None, (prefix, name, "weight")))] = module.weight
    return weights


def _heads(part: Part, tops: Mapping[str, nn.Module]) -> Sequence[tuple[str, dict[str, str]]]:
    """(role, {online prefix: target prefix}) of each network of a part."""
    if part.role != "critic":
        return [(part.role, dict(zip_longest(part.modules, part.targets, fillvalue="")))]
    (field,), (target,) = part.modules, part.targets
    heads = [name.removeprefix(field) for name in tops if name.startswith(f"{field}.")]
    return [(f"critic[{i}]", {field + head: target + head}) for i, head in enumerate(heads)]


def top_modules(algo: Any) -> dict[str, nn.Module]:
    """Policies and Q functions of an algorithm, one by one.

    Args:
        algo: A built d3rlpy algorithm.

    Returns:
        Field of ``impl.modules``, with ``.0``, ``.1``, … of an ensemble → module.
    """
    tops: dict[str, nn.Module] = {}
    for field, module in algo.impl.modules.get_torch_modules().items():
        if isinstance(module, nn.ModuleList):
            tops |= {f"{field}.{i}": head for i, head in enumerate(module)}
        else:
            tops[field] = module
    return tops


def acting_modules(algo: Any) -> dict[str, nn.Module]:
    """The modules that decide on an action.

    BCQ draws actions from its VAE, perturbs them and takes the one its critic likes best:
    all of its networks act.

    Args:
        algo: A built d3rlpy algorithm that :func:`find_networks` knows.

    Returns:
        Those of :func:`top_modules`, policies first.
    """
    tops, parts = top_modules(algo), LAYOUTS[type(algo.config).__name__]
    fields = [field for part in parts if part.acts for field in part.modules]
    return {n: top for f in fields for n, top in tops.items() if n.partition(".")[0] == f}


def find_networks(algo: Any) -> tuple[Network, ...]:
    """List the prunable networks of a built d3rlpy algorithm.

    Parameters are found by identity: an encoder that two networks share (discrete BCQ)
    belongs to the first of them and is pruned once.

    Args:
        algo: A d3rlpy algorithm whose ``impl`` is built.

    Returns:
        The networks, in the order actor, critics, value or imitator, and last the OFENet
        whose features they share, as ``"features"``.

    Raises:
        AlgorithmError: If the algorithm is not built, not one of :data:`LAYOUTS` or one that
            cannot be pruned before training, or a network has no prunable weights.
    """
    parts = LAYOUTS.get(type(algo.config).__name__)
    if parts is None:
        if reason := _REFUSED.get(type(algo).__name__):
            raise AlgorithmError(f"{type(algo).__name__} cannot be pruned here: {reason}.")
        known = ", ".join(sorted(name.removesuffix("Config") for name in LAYOUTS))
        raise AlgorithmError(
            f"{type(algo).__name__} is not an algorithm whose networks and losses this"
            f" package knows. Known: {known}. To add one, give it an entry in"
            " offline_prune/agents/networks.py."
        )
    if algo.impl is None:
        raise AlgorithmError(
            f"{type(algo).__name__} has no networks yet: build it first with"
            " build_with_dataset(...) or through offline_prune.prune(...)."
        )
    tops = top_modules(algo)
    seen: set[int] = set()
    bound: dict[RawLoss, Callable[[Batch], Tensor]] = {}
    networks = []
    for part in parts:
        loss = bound.setdefault(part.loss, losses.without_side_effects(part.loss, algo.impl))
        for role, pairs in _heads(part, tops):
            inside = {
                f"{prefix}.{name}".removesuffix("."): tops[prefix].get_submodule(name)
                for prefix in pairs
                for name in part.within or ("",)
            }
            weights = _prunable(inside, seen)
            if not weights:
                raise AlgorithmError(
                    f"The {role} of {type(algo).__name__} has no layers to prune. If an"
                    " engine holds it in a compact form, call engine.detach() first."
                )
            twins = _prunable(
                {name: tops[target] for name, target in pairs.items() if target}, set()
            )
            targets = {name: twins[name] for name in weights if name in twins}
            networks.append(Network(role, weights, targets, loss))
    ofenet = find_ofenet(algo)
    if ofenet is not None and ofenet.prediction is not None:
        features = _prunable({"ofenet": ofenet}, seen)
        loss = functools.partial(auxiliary_batch_loss, ofenet)
        networks.append(Network("features", features, {}, loss))
    return tuple(networks)
