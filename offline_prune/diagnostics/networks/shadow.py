"""A shadow of an algorithm: the same networks again, to be looked at in its place.

An engine may have put small layers in the place of the original ones, whose hidden units
are then out of sight; but state dicts speak of the originals all the time. The shadow
takes those. Nothing that is done to it reaches the algorithm in training: no module
modes, no hooks, no buffers, no random state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from d3rlpy.algos import QLearningAlgoBase
from d3rlpy.constants import ActionSpace
from d3rlpy.models.torch import (
    ContinuousQFunction,
    DeterministicResidualPolicy,
    Parameter,
    VAEDecoder,
    VAEEncoder,
)
from torch import Tensor, nn

from offline_prune.agents.network import is_prunable
from offline_prune.diagnostics.networks.hidden_units import record_activity
from offline_prune.errors import AlgorithmError

__all__ = ["Shadow", "ShadowNetwork"]

_ROLES = {
    "policy": "actor",
    "q_funcs": "critic",
    "value_func": "value",
    "vae_encoder": "imitator",
    "vae_decoder": "imitator",
}
"""Field of d3rlpy's modules → role; a field of another name is a role of that name."""

_READS_ACTIONS = (ContinuousQFunction, DeterministicResidualPolicy, VAEEncoder)


@dataclass(frozen=True)
class ShadowNetwork:
    """One network of a shadow.

    Attributes:
        role: As in :class:`~offline_prune.Agent`: ``"actor"``, ``"critic[0]"``, …
        modules: What it consists of; BCQ's VAE is an encoder and a decoder.
        parameters: Its parameters; a shared one belongs to its first network.
        weights: The prunable of them.
    """

    role: str
    modules: tuple[Any, ...]
    parameters: tuple[nn.Parameter, ...]
    weights: tuple[nn.Parameter, ...]

    @property
    def encoders(self) -> tuple[Any, ...]:
        """The encoders, one a module; shared ones in every network that reads them."""
        return tuple(m._encoder for m in self.modules if hasattr(m, "_encoder"))

    def observe(self, x: Tensor, action: Tensor) -> tuple[list[Tensor], Tensor]:
        """Evaluate the encoders.

        Critics, residual policies and VAEs read the action in the data; a VAE's decoder
        reads the mean of the code.

        Args:
            x: (B, *observation shape), scaled.
            action: (B, action size), scaled, or (B, 1) discrete.

        Returns:
            (B, units) activity of every hidden layer, and (B, features) output of the
            last encoder: the penultimate layer.
        """
        latent, features = action, x
        with record_activity(nn.ModuleList(self.encoders)) as activity:
            for module in self.modules:
                if isinstance(module, VAEDecoder):
                    features = module._encoder(x, latent)
                elif isinstance(module, _READS_ACTIONS):
                    features = module._encoder(x, action)
                else:
                    features = module._encoder(x)
                if isinstance(module, VAEEncoder):
                    latent = module._mu(features)
        return activity, features.flatten(1)


@dataclass(frozen=True)
class Shadow:
    """A second algorithm of the same config.

    Attributes:
        algo: The second algorithm; it shares config and scalers with the first.
        networks: Its online networks, in the order of d3rlpy's modules.
    """

    algo: Any
    networks: tuple[ShadowNetwork, ...]

    @classmethod
    def of(cls, algo: Any) -> Shadow:
        """Build a shadow; the random states are as before.

        Args:
            algo: A built d3rlpy algorithm.

        Returns:
            The shadow, in evaluation mode, with weights of its own until :meth:`take`.

        Raises:
            AlgorithmError: If it is not a d3rlpy Q-learning algorithm, or not built.
        """
        _check_built(algo)
        impl = algo.impl
        cuda = [impl.device] if impl.device.startswith("cuda") else []
        with torch.random.fork_rng(devices=cuda):
            shadow = algo.config.create(device=impl.device)
            shadow.create_impl(impl.observation_shape, impl.action_size)
        shadow.impl.modules.set_eval()
        return cls(shadow, _networks(_online(shadow)))

    def fits(self, algo: Any) -> bool:
        """Whether the shadow was built for networks like those of the algorithm.

        Args:
            algo: A built d3rlpy algorithm.

        Returns:
            Whether config, shapes and device are the same.

        Raises:
            AlgorithmError: If it is not a d3rlpy Q-learning algorithm, or not built.
        """
        _check_built(algo)
        a, b = self.algo.impl, algo.impl
        return self.algo.config is algo.config and (
            (a.observation_shape, a.action_size, a.device)
            == (b.observation_shape, b.action_size, b.device)
        )

    def take(self, algo: Any) -> None:
        """Copy the values of the algorithm's online networks as they are now.

        Args:
            algo: The algorithm; an engine may hold it in any form.

        Raises:
            AlgorithmError: If its networks are no longer those of its config.
        """
        values = _online(algo)
        for field, module in _online(self.algo).items():
            try:
                module.load_state_dict(values[field].state_dict())
            except RuntimeError as error:
                raise AlgorithmError(
                    f"{field} of {type(algo).__name__} is not what its config describes, so"
                    " that a copy of it cannot be measured: its layers were replaced, or"
                    f" the config was changed after it was built ({error})."
                ) from error

    def zero_inputs(self) -> tuple[Tensor, Tensor]:
        """One observation and one action, all zeros, as the networks take them.

        Returns:
            (1, *observation shape) and (1, action size), or (1, 1) int64.
        """
        impl = self.algo.impl
        x = torch.zeros(1, *impl.observation_shape, device=impl.device)
        if self.algo.get_action_type() == ActionSpace.DISCRETE:
            return x, torch.zeros(1, 1, dtype=torch.int64, device=impl.device)
        return x, torch.zeros(1, impl.action_size, device=impl.device)


def _check_built(algo: Any) -> None:
    if not isinstance(algo, QLearningAlgoBase):
        raise AlgorithmError(
            f"Diagnostics look at a d3rlpy Q-learning algorithm, not {type(algo).__name__};"
            " of an agent of this package take agent.algo."
        )
    if algo.impl is None:
        raise AlgorithmError(
            f"{type(algo).__name__} has no networks yet: build it first with"
            " build_with_dataset(...) or build_with_env(...)."
        )


def _online(algo: Any) -> dict[str, nn.Module]:
    """Field → module of every online network; no targets, no dual variables."""
    modules = algo.impl.modules.get_torch_modules()
    return {
        field: module
        for field, module in modules.items()
        if not field.startswith("targ_") and not isinstance(module, Parameter)
    }


def _networks(online: Mapping[str, nn.Module]) -> tuple[ShadowNetwork, ...]:
    members: dict[str, list[nn.Module]] = {}
    for field, module in online.items():
        role = _ROLES.get(field, field)
        if list(online) == ["imitator"]:  # of BC it is the policy
            role = "actor"
        if isinstance(module, nn.ModuleList):
            members |= {f"{role}[{i}]": [head] for i, head in enumerate(module)}
        else:
            members.setdefault(role, []).append(module)
    seen: set[int] = set()
    networks = []
    for role, modules in members.items():
        prunable = {id(m.weight) for top in modules for m in top.modules() if is_prunable(m)}
        own = {id(p): p for m in modules for p in m.parameters() if id(p) not in seen}
        seen |= set(own)
        weights = tuple(p for key, p in own.items() if key in prunable)
        networks.append(ShadowNetwork(role, tuple(modules), tuple(own.values()), weights))
    return tuple(networks)
