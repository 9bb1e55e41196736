"""tianshou as the library that trains an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from offline_prune.agents.agent import Agent
from offline_prune.agents.host import Change, Host, Stepped, SteppedBy
from offline_prune.agents.network import Network
from offline_prune.agents.separable import find_separable
from offline_prune.agents.units import Units
from offline_prune.errors import AlgorithmError
from offline_prune.hosts.tianshou.losses import Drawn, draw_batches, loss_of
from offline_prune.hosts.tianshou.noise import HeldNoise
from offline_prune.hosts.tianshou.parts import check_algorithm, layers_of, noise_of, value_parts
from offline_prune.hosts.wiring import Part, Tower, chains_of, prunable_weights, tree_units

__all__ = ["TianshouHost", "agent_of"]


@dataclass(frozen=True)
class TianshouHost(Host):
    """A value-based algorithm of tianshou, as engines, scores and methods ask it.

    Attributes:
        algo: The algorithm.
    """

    algo: Any

    @property
    def parts(self) -> list[Part]:
        """Of the value network."""
        return value_parts(self.algo.policy.model)

    @property
    def targets(self) -> list[Part]:
        """Of the target network; none without."""
        return [] if self.algo.model_old is None else value_parts(self.algo.model_old)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The value network and its target."""
        found = {"model": self.parts, "model_old": self.targets}
        return {name: Tower(parts) for name, parts in found.items() if parts}

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of one observation."""
        return tuple(self.algo.policy.observation_space.shape)

    def optimizers(self) -> list[SteppedBy]:
        """Its optimizer."""
        return [Stepped.by(self.algo.optim._optim)]

    def while_held(self, kept: Mapping[str, Tensor]) -> list[Change]:
        """Mask the noise of pruned weights."""
        online, targets = noises(self.algo)
        return [HeldNoise(online, targets, kept, [self.algo.optim._optim])]

    def draw_batches(self, data: Any, n_batches: int, seed: int) -> list[Drawn]:
        """Mini-batches of 256 transitions of its replay buffer."""
        return draw_batches(self.algo, data, n_batches, seed)

    def units(self, module: nn.Module, names: Mapping[int, str]) -> Units:
        """A tree of layers.

        Raises:
            AlgorithmError: If the network is of a kind that is not known.
        """
        found = tree_units(self.parts, self.targets, names, layers_of)
        if found is None:
            raise AlgorithmError(
                f"How the units of a {type(self.algo.policy.model).__name__} feed one another is"
                " not known: tianshou's Net and Atari networks are. Use a method that prunes single"
                " weights, such as 'gmp' or 'snip'."
            )
        return found


def agent_of(algorithm: Any) -> Agent:
    """Look into an algorithm.

    Args:
        algorithm: DQN, C51, RainbowDQN or QRDQN of tianshou 2.

    Returns:
        Its value network, ``"critic[0]"``, and its target.

    Raises:
        AlgorithmError: If it is another algorithm.
    """
    check_algorithm(algorithm)
    host = TianshouHost(algorithm)
    model = algorithm.policy.model
    names = {id(p): name for name, p in model.named_parameters()}
    weights, twins = _named(host.parts, names), {}
    target_names: dict[int, str] = {}
    if host.targets:
        found = [w for part in host.targets for w in prunable_weights(part)]
        own = [w for part in host.parts for w in prunable_weights(part)]
        twins = {names[id(w)]: twin for w, twin in zip(own, found, strict=True)}
        target_names = {id(twin): name for name, twin in twins.items()}
    chains = chains_of(host.parts, names, model, layers_of)
    owner = algorithm.model_old or model
    target_chains = chains_of(host.targets, target_names, owner, layers_of)
    return Agent(
        host=host,
        name=type(algorithm).__name__.lower(),
        networks=(Network("critic[0]", weights, twins, loss_of(algorithm)),),
        chains=chains,
        target_chains=target_chains,
        paths=chains_of(host.parts, names, model, layers_of, normalised=True),
        separable=find_separable((), names, chains),
        target_separable=find_separable((), target_names, target_chains),
        stacks=(),
        target_stacks=(),
    )


def noises(algorithm: Any) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Name of a noisy layer's mean → its σ, in the value network and in its target.

    Args:
        algorithm: As of :func:`agent_of`.

    Returns:
        Both; empty where no layer is noisy.
    """
    names = {id(p): name for name, p in algorithm.policy.model.named_parameters()}
    online = {names[mean]: noise for mean, noise in noise_of(algorithm.policy.model).items()}
    if algorithm.model_old is None:
        return online, {}
    return online, dict(zip(online, noise_of(algorithm.model_old).values(), strict=True))


def _named(parts: list[Part], names: Mapping[int, str]) -> dict[str, nn.Parameter]:
    return {names[id(weight)]: weight for part in parts for weight in prunable_weights(part)}
