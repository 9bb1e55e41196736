"""Put small parameters in the place of the original ones, and take them out again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from offline_prune.agents.separable import BatchNorm, Separable
from offline_prune.agents.stacks import Affine, Normalisation, Stack
from offline_prune.compaction import Packing, dense_packings, sparse_packing
from offline_prune.engines.sparse_mlp import OutputColumns, SparseMLP
from offline_prune.engines.wiring import Linear, Norm, Step

__all__ = ["Replacement", "Surgery"]


@dataclass(frozen=True)
class Replacement:
    """A small parameter and what it stands for.

    Attributes:
        small: What is trained, or a buffer that training changes.
        packing: The originals, and where the entries of ``small`` live in them.
    """

    small: Tensor
    packing: Packing

    def expanded(self) -> list[Tensor]:
        """The originals with the values of ``small``, as new tensors."""
        full = [original.detach().clone() for original in self.packing.originals]
        self.packing.unpack(self.small, full)
        return full


@dataclass
class Surgery:
    """Everything that was replaced in an agent's modules.

    Attributes:
        replacements: The small parameters.
    """

    replacements: list[Replacement] = field(default_factory=list)
    _before: list[tuple[nn.Module, str, Any]] = field(default_factory=list)

    def shrink(self, network: Separable, live: Mapping[str, Tensor], *, trained: bool) -> None:
        """Take the dead units out of a network; its layers stay dense layers.

        Args:
            network: The network.
            live: Weight name → (out,) boolean, true = alive.
            trained: Whether gradients are wanted; not in targets.
        """
        for module, packings in dense_packings(network, live):
            for name, packing in packings.items():
                small = packing.pack(packing.originals)
                if name not in module._buffers:
                    small = nn.Parameter(small, requires_grad=trained)
                self.replacements.append(Replacement(small, packing))
                self._set(module, name, small)
            _refresh_sizes(module)

    def make_sparse(
        self, stack: Stack, live: Mapping[str, Tensor], kept: Mapping[str, Tensor], *, trained: bool
    ) -> None:
        """Put a :class:`SparseMLP` in the place of an encoder and its heads.

        Args:
            stack: What it computes.
            live: Weight name → (out,) boolean, true = alive; all units of other layers are.
            kept: Weight name → boolean mask of the weights that are held.
            trained: Whether gradients are wanted; not in targets.
        """
        packing, masks = sparse_packing(stack, live, kept)
        mlp = SparseMLP(_steps(stack, masks), packing.pack(packing.originals))
        mlp.theta.requires_grad_(trained)
        self.replacements.append(Replacement(mlp.theta, packing))
        names = {id(child): name for name, child in stack.owner.named_children()}
        heads = stack.steps[-1]
        assert isinstance(heads, Affine)
        stop = 0
        for head in heads.layers:
            start, stop = stop, stop + head.module.weight.shape[0]
            self._set(stack.owner, names[id(head.module)], OutputColumns(start, stop))
        self._set(stack.owner, "_encoder", mlp)

    def undo(self) -> None:
        """Put the originals back, with the values that were trained meanwhile."""
        for module, name, value in reversed(self._before):
            setattr(module, name, value)
            _refresh_sizes(module)
        for replacement in self.replacements:
            replacement.packing.unpack(replacement.small, replacement.packing.originals)
        self._before.clear()
        self.replacements.clear()

    def _set(self, module: nn.Module, name: str, value: Any) -> None:
        self._before.append((module, name, getattr(module, name)))
        setattr(module, name, value)


def _steps(stack: Stack, masks: Iterable[Tensor]) -> list[Step]:
    """A stack in the kernels' words, with the masks of its linear layers in order."""
    left = iter(masks)
    found: list[Step] = []
    for step in stack.steps:
        if isinstance(step, Normalisation):
            norm = step.module
            found.append(
                Norm(step.reads, found[step.reads].size, norm.eps, norm.weight is not None)
            )
        else:
            has_bias = step.layers[0].module.bias is not None
            found.append(Linear(next(left), step.reads, step.activation, step.adds, has_bias))
    return found


@torch.no_grad()
def _refresh_sizes(module: nn.Module) -> None:
    """Let a layer say its size as it is now."""
    if isinstance(module, nn.Conv2d):
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, nn.Linear) and not isinstance(module, OutputColumns):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, BatchNorm):
        sized = module.running_mean if module.weight is None else module.weight
        module.num_features = module.num_features if sized is None else len(sized)
