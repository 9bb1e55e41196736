"""Networks that the sparse kernels can compute: linear layers, activations, normalisations.

Where a :class:`~offline_prune.agents.topology.Chain` says which units are dead, a stack says
how every number comes about, residual additions included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from d3rlpy.models.torch.encoders import (
    SimBaBlock,
    SimBaEncoder,
    SimBaEncoderWithAction,
    VectorEncoder,
    VectorEncoderWithAction,
)
from d3rlpy.torch_utility import Swish
from torch import Tensor, nn

from offline_prune.agents.own_encoders import registered_layers
from offline_prune.agents.topology import Layer, headed

__all__ = [
    "Affine",
    "Normalisation",
    "Stack",
    "activation_name",
    "find_stacks",
    "why_no_stack",
]


@dataclass(frozen=True)
class Affine:
    """Linear layers that read the same, what is added to them, and their activation.

    Attributes:
        layers: One layer; at the end the heads, which may be several.
        reads: The step whose outputs they read; −1 for the network's inputs.
        activation: ``"relu"``, ``"tanh"``, ``"swish"``, ``"gelu"`` or ``"none"``.
        adds: The step whose outputs are added before it; None for none.
    """

    layers: tuple[Layer, ...]
    reads: int
    activation: str = "none"
    adds: int | None = None


@dataclass(frozen=True)
class Normalisation:
    """Layer normalisation of the outputs of a step, ``reads``."""

    module: nn.LayerNorm
    reads: int


@dataclass(frozen=True)
class Stack:
    """A network as steps, each of which reads earlier ones.

    Attributes:
        steps: In order; the heads are last.
        owner: The module that holds them, a policy or a Q function.
        entry: Name of the part of it that gets the inputs.
        passed: Names of its parts, beside the heads, that get what comes out.
    """

    steps: tuple[Affine | Normalisation, ...]
    owner: nn.Module
    entry: str = "_encoder"
    passed: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All linear layers, step by step."""
        return tuple(
            layer for step in self.steps if isinstance(step, Affine) for layer in step.layers
        )

    @property
    def parameters(self) -> list[Tensor]:
        """Weights layer by layer, then step by step biases, or scale and shift."""
        found: list[Tensor] = [layer.module.weight for layer in self.layers]
        for step in self.steps:
            if isinstance(step, Normalisation):
                found += [p for p in (step.module.weight, step.module.bias) if p is not None]
            else:
                found += [b for layer in step.layers if (b := layer.module.bias) is not None]
        return found


def activation_name(module: nn.Module) -> str | None:
    """The kernels' name of an activation; None where they have none."""
    if isinstance(module, nn.GELU):
        return "gelu" if module.approximate == "none" else None
    known = {nn.ReLU: "relu", nn.Tanh: "tanh", Swish: "swish", nn.SiLU: "swish"}
    return known.get(type(module))


class _Builder:
    """Steps so far, and the module that the kernels do not know."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = names
        self.steps: list[Affine | Normalisation] = []
        self.unknown = ""

    def add(self, modules: Iterable[nn.Module]) -> bool:
        """Put modules behind what is there; False where one is not known."""
        for module in modules:
            if not self._add(module):
                self.unknown = self.unknown or type(module).__name__
                return False
        return True

    def add_layers(self, layers: Sequence[nn.Linear], adds: int | None = None) -> None:
        """Put linear layers that read the last step behind it."""
        named = tuple(Layer(self.names[id(layer.weight)], layer) for layer in layers)
        self.steps.append(Affine(named, len(self.steps) - 1, adds=adds))

    def _add(self, module: nn.Module) -> bool:
        last = self.steps[-1] if self.steps else None
        if isinstance(module, nn.Linear):
            self.add_layers([module])
        elif isinstance(module, SimBaBlock):
            *inner, narrowing = module._layers
            stream = len(self.steps) - 1
            if stream < 0 or not self.add(inner) or not isinstance(narrowing, nn.Linear):
                return False
            self.add_layers([narrowing], adds=stream)
        elif isinstance(module, nn.LayerNorm):
            both = (module.weight is None) == (module.bias is None)
            if last is None or len(module.normalized_shape) != 1 or not both:
                return False
            self.steps.append(Normalisation(module, len(self.steps) - 1))
        elif activation := activation_name(module):
            if not isinstance(last, Affine) or last.activation != "none":
                return False
            self.steps[-1] = replace(last, activation=activation)
        else:
            return isinstance(module, nn.Identity) or (
                isinstance(module, nn.Dropout) and not module.p
            )
        return True


def _stack_or_reason(
    encoder: nn.Module,
    heads: Sequence[nn.Linear],
    owners: Sequence[nn.Module],
    names: Mapping[int, str],
) -> Stack | str:
    layers = registered_layers(encoder)
    if isinstance(
        encoder, VectorEncoder | VectorEncoderWithAction | SimBaEncoder | SimBaEncoderWithAction
    ):
        layers = list(encoder._layers)
    if layers is None:
        return f"the sparse kernels do not know {type(encoder).__name__}"
    if getattr(encoder, "_discrete_action", False):
        return "its discrete actions are one-hot encoded on the way"
    if len(owners) > 1:
        return "several networks read its encoder"
    if len({head.bias is None for head in heads}) > 1:
        return "some of its heads have a bias and others have none"
    builder = _Builder(names)
    if not builder.add(layers):
        return f"the sparse kernels do not know {builder.unknown}"
    builder.add_layers(heads)
    return Stack(tuple(builder.steps), owners[0])


def find_stacks(modules: Iterable[nn.Module], names: Mapping[int, str]) -> tuple[Stack, ...]:
    """Stacks of an agent's modules.

    Args:
        modules: Top modules: a policy, one Q function, ….
        names: ``id`` of a weight → the name its mask has; a target's weights carry the
            names of their online twins. Modules whose weights are not named are left
            out.

    Returns:
        One for each module of d3rlpy's plain, normalised or SimBa encoder of vectors and
        linear heads, with nothing in between that the kernels do not know (dropout, batch
        normalisation, GEGLU), and with an encoder of its own.
    """
    found = (_stack_or_reason(*parts, names) for parts in headed(modules, names))
    return tuple(stack for stack in found if isinstance(stack, Stack))


def why_no_stack(modules: Iterable[nn.Module], names: Mapping[int, str], weight: str) -> str:
    """Why a weight belongs to no stack.

    Args:
        modules: As in :func:`find_stacks`.
        names: As there.
        weight: Name of a weight that is in none of its stacks.

    Returns:
        A clause that begins with a small letter.
    """
    modules = list(modules)
    inside = {id(module): {names.get(id(p)) for p in module.parameters()} for module in modules}
    for parts in headed(modules, names):
        if any(weight in inside.get(id(owner), ()) for owner in parts[2]):
            reason = _stack_or_reason(*parts, names)
            assert isinstance(reason, str)
            return reason
    owner = next((module for module in modules if weight in inside[id(module)]), None)
    if owner is None:
        return "features that other networks read are no stack of layers"
    return f"the wiring of {type(owner).__name__} with its encoder is not known"
