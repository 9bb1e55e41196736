"""Other initial weights for a chosen mask."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import Parameterization
from offline_prune.methods.wrapped import WrappedMethod

__all__ = ["Reinitialised", "Rescaled", "scale_weights"]

_BY_UNIT = Parameterization(exponent=0.0, by="unit")


class Rescaled(WrappedMethod):
    """Scale the kept weights of every unit for the fan-in that is left.

    Formula: ``w ← w · sqrt(n / k)`` for a unit of whose n incoming weights k are kept;
    its pre-activation then has at initialisation the variance that it has in the dense
    network. Targets are scaled alike; biases stay. ``rescaled(reinitialised(snip))`` is
    the sparse initialisation of Evci et al.: fresh weights drawn for the kept fan-in.

    References:
        Evci, Ioannou, Keskin, Dauphin 2022, arXiv 2010.03533.
    """

    scales_weights = True

    def initialise(self, agent: Agent, mask: Mask) -> None:
        """Scale weights and target weights in place."""
        super().initialise(agent, mask)
        scale_weights(agent, _BY_UNIT.initial_factors(mask.nominal))


@torch.no_grad()
def scale_weights(agent: Agent, factors: Mapping[str, Tensor]) -> None:
    """Multiply weights and their twins in the target networks, in place.

    Args:
        agent: The agent.
        factors: Weight name → factor, broadcastable to the weight's shape.
    """
    weights, targets = agent.weights, agent.targets
    for name, factor in factors.items():
        for tensor in (weights[name], targets.get(name)):
            if tensor is not None:
                tensor.mul_(factor.to(tensor))


class Reinitialised(WrappedMethod):
    """Control: the mask of these initial weights on other ones.

    Every network is drawn anew from another seed after the mask was chosen, targets
    with it; but for an OFENet, which may have been trained before. A mask that is worth
    more than its shape must beat this one.

    References:
        Frankle et al. 2021, arXiv 2009.08576.
    """

    builds_d3rlpy = True

    @torch.no_grad()
    def initialise(self, agent: Agent, mask: Mask) -> None:
        """Draw all networks anew, in place; no random state is read or changed."""
        super().initialise(agent, mask)
        algo = agent.algo
        fresh = algo.config.create(device=algo.impl.device)
        cuda = [algo.impl.device] if algo.impl.device.startswith("cuda") else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self.settings.seed + 1)
            fresh.create_impl(algo.impl.observation_shape, algo.impl.action_size)
        drawn = fresh.impl.modules.get_torch_modules()
        for field, module in algo.impl.modules.get_torch_modules().items():
            # The extra state is an encoder's OFENet.
            own = {n: t for n, t in module.state_dict().items() if n.endswith("_extra_state")}
            module.load_state_dict({**drawn[field].state_dict(), **own})
