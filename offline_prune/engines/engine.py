"""What every engine does: hold an agent's pruned weights at zero while d3rlpy trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.agent import Agent
from offline_prune.agents.host import Change
from offline_prune.engines.forms import Choice
from offline_prune.engines.step_factors import lengthen_steps
from offline_prune.engines.zeros import check_fits, hold_at_zero
from offline_prune.errors import MaskError
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization

if TYPE_CHECKING:
    from offline_prune.engines.replacement import Replacement

__all__ = ["Engine"]


@dataclass(frozen=True)
class _Held:
    """A parameter with pruned entries, of a network or of its target."""

    name: str
    parameter: nn.Parameter
    pruned: Tensor
    is_hooked: bool


class Engine(ABC):
    """Hold a mask: keep what it prunes at zero while an agent trains.

    While a mask is attached, pruned weights, their twins in the target networks and what
    d3rlpy saves are exactly 0.0, and the optimizers step as far as the parameterization
    says; a gradient hook a weight runs before any clipping or optimizer. A weight of which
    nothing is pruned gets no hook: at sparsity 0 the run is d3rlpy's own, bit for bit.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.engines import make_engine
        >>> engine = make_engine("masked", scored.agent)
        >>> engine.attach(scored.mask)
        >>> engine.mask == scored.mask
        True
        >>> engine.detach()
    """

    def __init__(self, agent: Agent, parameterization: Parameterization = STANDARD) -> None:
        """Prepare an engine; nothing changes before :meth:`attach`.

        Args:
            agent: The agent to hold.
            parameterization: How far the optimizers step in layers that lose weights.
        """
        self._agent = agent
        self._parameterization = parameterization
        self._mask: Mask | None = None
        self._held: list[_Held] = []
        self._handles: list[RemovableHandle] = []
        self._changes: list[Change] = []
        self._forms: dict[str, Choice] = {}

    @property
    def forms(self) -> dict[str, Choice]:
        """Role → in which form its network is trained, and why not in a faster one."""
        asked = Choice("masked", "this engine trains the original layers")
        return {role: self._forms.get(role, asked) for role in self._agent.roles}

    @property
    def mask(self) -> Mask | None:
        """The mask being held; None while detached."""
        return self._mask

    def attach(self, mask: Mask) -> None:
        """Zero what the mask prunes and keep it zero.

        Args:
            mask: A mask of this agent.

        Raises:
            MaskError: If the mask belongs to other networks or one is attached.
        """
        if self._mask is not None:
            raise MaskError("A mask is attached already: call update(mask) or detach().")
        check_fits(self._agent, mask)
        made = self._hold(mask)
        self._changes = [*self._agent.host.while_held(mask.nominal), *made]
        self._mask = mask

    def update(self, mask: Mask) -> None:
        """Hold another mask from now on.

        Args:
            mask: A mask of this agent. Weights that return start at zero.

        Raises:
            MaskError: If the mask belongs to other networks.
        """
        check_fits(self._agent, mask)
        self.detach()
        self.attach(mask)

    def detach(self) -> None:
        """Let go: plain dense weights of the original shapes, with exact zeros and no hooks."""
        for handle in self._handles:
            handle.remove()
        for made in self._changes:
            made.undo()
        self._handles.clear()
        self._held.clear()
        self._changes.clear()
        self._mask = None

    def verify(self) -> None:
        """Check that the mask is being held.

        ``deepcopy``, ``pickle`` and loading a file drop hooks without a word, and
        d3rlpy's ``copy_policy_from`` or a second ``create_impl`` bring pruned weights
        back; this notices.

        Raises:
            MaskError: If nothing is attached, the networks were replaced, a pruned entry
                of a weight or of its target's twin is not zero, or a hook is gone.
        """
        if self._mask is None:
            raise MaskError("No mask is attached: call attach(mask) first.")
        host = self._agent.host
        present = {
            id(tensor)
            for module in host.modules.values()
            for tensor in (*module.parameters(), *module.buffers())
        }
        if (ofenet := host.ofenet) is not None:
            present |= {id(p) for p in ofenet.parameters()}
        if any(id(tensor) not in present for tensor in self._in_place()):
            raise MaskError(
                "The networks were built anew or replaced after the mask was attached."
                " Make a new Agent and attach its mask again."
            )
        for held in self._held:
            if held.is_hooked and not held.parameter._post_accumulate_grad_hooks:
                raise MaskError(f"The hook of {held.name} is gone: attach the mask again.")
            if bool((held.parameter[held.pruned] != 0).any()):
                raise MaskError(
                    f"Pruned entries of {held.name} are not zero: something overwrote the"
                    " weights after the mask was attached. Attach it again."
                )

    def weights(self) -> dict[str, Tensor]:
        """Weight name → its value now, of the original shape, whatever is trained."""
        return self._current(self._agent.weights)

    def targets(self) -> dict[str, Tensor]:
        """Name of the online weight → value of its twin in the target network now."""
        return self._current(self._agent.targets)

    @abstractmethod
    def _hold(self, mask: Mask) -> list[Change]:
        """Hold a mask that fits; returns what :meth:`detach` undoes, in this order."""

    def _keep(
        self,
        name: str,
        parameter: nn.Parameter,
        pruned: Tensor,
        *,
        is_target: bool = False,
        hook: bool = True,
    ) -> None:
        """Note what must stay zero; hook it unless it has no gradient or is masked otherwise."""
        hook = hook and not is_target
        place = f"the target of {name!r}" if is_target else repr(name)
        self._held.append(_Held(place, parameter, pruned, hook))
        if hook:
            self._handles.append(hold_at_zero(parameter, pruned))

    def _keep_all(self, pruned: Mapping[str, Tensor], *, hook: bool = True) -> None:
        """Keep pruned entries of weights in their original shapes, and of their twins."""
        weights, targets = self._agent.weights, self._agent.targets
        for name, entries in pruned.items():
            self._keep(name, weights[name], entries, hook=hook)
            if name in targets:
                self._keep(name, targets[name], entries, is_target=True)

    def _lengthen_steps(
        self, mask: Mask, kept: Mapping[str, Tensor], replacements: Iterable[Replacement] = ()
    ) -> None:
        """Step as far as the parameterization says, where these entries are kept."""
        agent, factors = self._agent, self._parameterization.step_factors(kept, mask.roles)
        self._handles += lengthen_steps(
            agent.host.optimizers(), agent.weights, factors, replacements
        )

    def _in_place(self) -> Iterable[Tensor]:
        """The parameters and buffers that the algorithm's modules must still have."""
        return (held.parameter for held in self._held)

    def _current(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in parameters.items()}
