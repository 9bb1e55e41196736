"""The masked engine: weights of the original shape, the pruned ones held at zero."""

from __future__ import annotations

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.agent import Agent
from offline_prune.engines.changes import Change, change
from offline_prune.engines.step_factors import StepFactors
from offline_prune.engines.zeros import check_fits, hold_at_zero, impose, pruned_entries
from offline_prune.errors import MaskError
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization

__all__ = ["MaskedEngine"]


class MaskedEngine:
    """Hold an agent's pruned weights at exactly 0.0, in its targets too.

    :meth:`attach` sets pruned weights, their twins in the target networks and their
    optimizer moments to zero, and hooks every masked weight so that the pruned entries
    of its gradient are zero before any optimizer or gradient clipping sees them. All
    of d3rlpy's optimizers then leave the zeros alone: Adam's moments stay 0, weight
    decay of 0 is 0. Module structure, parameter order, ``save`` and ``save_model`` are
    untouched, so the files open in stock d3rlpy.

    A weight of which nothing is pruned gets no hook: at sparsity 0 the run is d3rlpy's
    own, bit for bit.
    """

    def __init__(self, agent: Agent, parameterization: Parameterization = STANDARD) -> None:
        """Prepare an engine; nothing changes before :meth:`attach`.

        Args:
            agent: The agent to hold.
            parameterization: How far the optimizers step.
        """
        self._agent = agent
        self._parameterization = parameterization
        self._steps = StepFactors()
        self._mask: Mask | None = None
        self._pruned: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._changes: list[Change] = []

    @property
    def mask(self) -> Mask | None:
        """The mask being held; None while detached."""
        return self._mask

    def attach(self, mask: Mask) -> None:
        """Zero what the mask prunes and keep it zero.

        Constant outputs of units that lost all inputs move into the next bias first
        (:func:`~offline_prune.engines.zeros.impose`), so that the connected part
        computes the same function as the nominal mask.

        Args:
            mask: A mask of this agent.

        Raises:
            MaskError: If the mask belongs to other networks or one is attached.
        """
        if self._mask is not None:
            raise MaskError("A mask is attached already: call update(mask) or detach().")
        impose(self._agent, mask)
        self._pruned = pruned_entries(self._agent, mask.connected)
        weights = self._agent.weights
        self._handles = [hold_at_zero(weights[n], p) for n, p in self._pruned.items()]
        factors = self._parameterization.step_factors(mask.connected, mask.roles)
        self._steps = StepFactors.of(self._agent.algo, weights, factors)
        self._changes = change(self._agent.algo)
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
        """Let go: plain dense weights, the pruned ones exactly zero, no hooks left."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._steps.undo()
        for made in self._changes:
            made.undo()
        self._changes.clear()
        self._pruned = {}
        self._mask = None

    def verify(self) -> None:
        """Check that the mask is being held.

        ``deepcopy``, ``pickle`` and loading a file drop hooks without a word, and
        d3rlpy's ``copy_policy_from`` or a second ``create_impl`` bring pruned weights
        back; this notices.

        Raises:
            MaskError: If nothing is attached, a pruned weight or its target's twin is
                not zero, a weight was replaced, or its hook is gone.
        """
        if self._mask is None:
            raise MaskError("No mask is attached: call attach(mask) first.")
        current = Agent.of(self._agent.algo)
        for name, pruned in self._pruned.items():
            weight = self._agent.weights[name]
            if current.weights.get(name) is not weight:
                raise MaskError(
                    f"The networks were built anew: {name!r} is another tensor now."
                    " Make a new Agent and attach its mask again."
                )
            if not weight._post_accumulate_grad_hooks:
                raise MaskError(f"The hook of {name!r} is gone: attach the mask again.")
            for place, tensor in (
                ("", weight),
                ("the target of ", self._agent.targets.get(name)),
            ):
                if tensor is not None and bool((tensor[pruned] != 0).any()):
                    raise MaskError(
                        f"Pruned entries of {place}{name!r} are not zero: something"
                        " overwrote the weights after the mask was attached. Attach"
                        " it again."
                    )

    def weights(self) -> dict[str, Tensor]:
        """Weight name → its value now."""
        return {name: weight.detach() for name, weight in self._agent.weights.items()}

    def targets(self) -> dict[str, Tensor]:
        """Name of the online weight → value of its twin in the target network now."""
        return {name: weight.detach() for name, weight in self._agent.targets.items()}
