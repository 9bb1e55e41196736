"""d3rlpy as the library that trains an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from d3rlpy.models.torch import VAEDecoder
from d3rlpy.models.torch.encoders import EncoderWithAction
from torch import Tensor, nn
from torch.optim import Optimizer

from offline_prune.agents.actor_step import ActorStep
from offline_prune.agents.host import Change, Host, Stepped, SteppedBy
from offline_prune.agents.mini_batches import draw_batches
from offline_prune.agents.network import Batch
from offline_prune.agents.networks import top_modules
from offline_prune.agents.plain_copies import PlainCopies
from offline_prune.agents.traced_units import traced_units
from offline_prune.agents.units import Units
from offline_prune.data import Dataset
from offline_prune.ofenet import OFENet, find_ofenet

__all__ = ["D3rlpyHost", "find_optimizers"]


@dataclass(frozen=True)
class D3rlpyHost(Host):
    """A built d3rlpy algorithm, as engines, scores and methods ask it.

    Attributes:
        algo: The algorithm.
    """

    algo: Any

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Field of ``impl.modules``, with ``.0``, ``.1``, … of an ensemble → module."""
        return top_modules(self.algo)

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of one observation."""
        return tuple(self.algo.impl.observation_shape)

    @property
    def ofenet(self) -> OFENet | None:
        """The OFENet that all its encoders share."""
        return find_ofenet(self.algo)

    @property
    def is_captured(self) -> bool:
        """Whether it was made with ``compile_graph=True``."""
        return bool(self.algo.compiled)

    def optimizers(self) -> list[SteppedBy]:
        """d3rlpy's wrappers, and a trained OFENet's optimizer."""
        return find_optimizers(self.algo)

    def while_held(self, kept: Mapping[str, Tensor]) -> list[Change]:
        """Spare the actor's step its waste, and let copies be plain."""
        actor_step, copies = ActorStep.of(self.algo), PlainCopies(self.algo)
        return [copies] if actor_step is None else [actor_step, copies]

    def draw_batches(self, data: Dataset, n_batches: int, seed: int) -> list[Batch]:
        """As :func:`~offline_prune.agents.mini_batches.draw_batches`."""
        return draw_batches(self.algo, data, n_batches, seed)

    def units(self, module: nn.Module, names: Mapping[int, str]) -> Units:
        """Traced through the encoder; all else are heads."""
        encoder: Any = module._encoder
        impl = self.algo.impl
        inputs: list[Tensor] = [torch.zeros(2, *impl.observation_shape, device=impl.device)]
        if isinstance(encoder, EncoderWithAction):
            size = impl.action_size * (2 if isinstance(module, VAEDecoder) else 1)
            inputs.append(torch.zeros(2, size, device=impl.device))
        heads = [child for child in module.children() if child is not encoder]
        return Units(traced_units(module, inputs, heads, names))


def find_optimizers(algo: Any) -> list[SteppedBy]:
    """d3rlpy's wrappers of the torch optimizers of a built algorithm.

    Args:
        algo: The algorithm; its ``impl`` is built.

    Returns:
        The wrappers. The last one is that of a trained OFENet, if there is one.
    """
    fields = vars(algo.impl.modules).values()
    found: list[Any] = [v for v in fields if isinstance(getattr(v, "optim", None), Optimizer)]
    ofenet = find_ofenet(algo)
    if ofenet is not None and ofenet.optimizer is not None:
        found.append(Stepped(ofenet.optimizer, list(ofenet.parameters())))
    return found
