"""The gates of one hidden layer, put between its units and who reads them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from offline_prune.methods.gates.bernoulli import bernoulli_gate

__all__ = ["GatedLayer"]


class GatedLayer:
    """Gates on the units of one layer.

    Where gradients are wanted and the module trains, each example draws its own gates;
    everywhere else units are multiplied by their probability, which gives the expected
    value to whoever reads them: bootstrap targets, evaluation, ``predict``.

    Attributes:
        probability: θ, (size,); its ``grad`` gathers what backward passes estimate.
        alive: (size,) boolean: which units are still computed. The compact engine takes
            the others out.
    """

    def __init__(self, size: int, device: torch.device, generator: torch.Generator) -> None:
        """All units there.

        Args:
            size: Number of units.
            device: Where the units are computed.
            generator: Of the gates, on the CPU.
        """
        self.probability = torch.ones(size, device=device, requires_grad=True)
        self.alive = torch.ones(size, dtype=torch.bool, device=device)
        self._generator = generator
        self._seen: Callable[[], Tensor | None] = lambda: None
        self._gate = torch.empty(0)
        self._handles: list[RemovableHandle] = []

    def read_by(self, module: nn.Module, repeat: int = 1) -> None:
        """Gate what a layer reads.

        Args:
            module: A linear layer or a convolution that reads the units first, then
                perhaps other inputs. The compact engine may take dead units out.
            repeat: Columns a unit of a linear layer owns.
        """
        size = len(self.probability)
        others = getattr(module, "in_features", size * repeat) - size * repeat

        def gate_inputs(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            x, *rest = inputs
            units = x if others == 0 else x[:, : x.shape[1] - others]
            gated = self(units, repeat, sampled=module.training)
            x = gated if others == 0 else torch.cat([gated, x[:, x.shape[1] - others :]], dim=1)
            return (x, *rest)

        self._handles.append(module.register_forward_pre_hook(gate_inputs))

    def put_out_by(self, module: nn.Module) -> None:
        """Gate what a module puts out.

        Args:
            module: Its output is the layer's units, (B, size).
        """

        def gate_output(_: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            return self(output, 1, sampled=module.training)

        self._handles.append(module.register_forward_hook(gate_output))

    def remove(self) -> None:
        """Take the gates away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __call__(self, x: Tensor, repeat: int, *, sampled: bool) -> Tensor:
        """Gate (B, units · repeat), or (B, units, height, width)."""
        probability, size = self.probability, len(self.probability)
        is_whole = x.shape[1] == size * repeat
        if not is_whole:  # dead units were taken out
            probability = probability[self.alive]
        shape = (x.shape[0], len(probability), -1)
        units = x.reshape(shape)
        if not (sampled and torch.is_grad_enabled()):
            return (units * probability.detach()[None, :, None]).reshape(x.shape)
        if self._seen() is not x:  # two heads that read the same units see the same gates
            # For dead units too: engines that take them out draw the same gates.
            noise = torch.rand((x.shape[0], size), generator=self._generator).to(x.device)
            noise = noise if is_whole else noise[:, self.alive]
            self._gate = (noise < probability.detach()).to(x.dtype)
            self._seen = weakref.ref(x)
        return bernoulli_gate(units, probability, self._gate).reshape(x.shape)
