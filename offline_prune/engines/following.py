"""Follow a mask that changes during training with the engine that fits it."""

from __future__ import annotations

from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.engines.engine import Engine
from offline_prune.engines.forms import Choice
from offline_prune.engines.regrowing import RegrowingEngine, Regrowth
from offline_prune.errors import MaskError
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization

__all__ = ["FollowingEngine"]


class FollowingEngine:
    """Hold what may come back openly, and what is gone for good by the settled engine.

    What pruned weights may still do (:data:`~offline_prune.engines.regrowing.Regrowth`)
    decides who holds the mask:

    - ``"never"``: the settled engine. The compact one takes dead units out, with the
      optimizers' state, and does so again at every later mask.
    - ``"at_updates"``: the engine that keeps units. The compact one then trains kept
      weights alone wherever its sparse kernels fit.
    - ``"at_next_update"`` and ``"any_step"``, which want dense gradients: a
      :class:`~offline_prune.engines.regrowing.RegrowingEngine`.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.engines import make_following_engine
        >>> engine = make_following_engine("auto", scored.agent)
        >>> engine.attach(scored.mask, "any_step")  # pruned weights may come back at any step
        >>> engine.update(scored.mask, "never")  # from now on they may not
        >>> engine.detach()
    """

    def __init__(
        self,
        agent: Agent,
        settled: Engine,
        keeping_units: Engine,
        parameterization: Parameterization = STANDARD,
    ) -> None:
        """Prepare an engine; nothing changes before :meth:`attach`.

        Args:
            agent: The agent to hold.
            settled: Holds masks whose pruned weights are gone for good.
            keeping_units: Holds nominal masks; gives up no unit.
            parameterization: How far the optimizers step where gradients are dense.
        """
        self._dense = RegrowingEngine(agent, parameterization)
        self._settled, self._keeping_units = settled, keeping_units
        self._regrowth: Regrowth = "never"

    @property
    def mask(self) -> Mask | None:
        """The mask being held; None while detached."""
        return self._current.mask

    @property
    def forms(self) -> dict[str, Choice]:
        """Role → in which form its network is trained now, and why not in a faster one."""
        if self._current is self._dense:
            reason = "pruned weights may return with gradients of their own"
            return dict.fromkeys(self._dense.forms, Choice("masked", reason))
        return self._current.forms

    @property
    def _current(self) -> Engine:
        if self._regrowth == "never":
            return self._settled
        return self._keeping_units if self._regrowth == "at_updates" else self._dense

    def attach(self, mask: Mask, regrowth: Regrowth = "never") -> None:
        """Zero what the mask prunes and keep it zero.

        Args:
            mask: A mask of this agent.
            regrowth: What pruned weights may still do.

        Raises:
            MaskError: If the mask belongs to other networks or one is attached.
        """
        if self.mask is not None:
            raise MaskError("A mask is attached already: call update(mask) or detach().")
        self._regrowth = regrowth
        if self._current is self._dense:
            self._dense.attach(mask, regrowth)
        else:
            self._current.attach(mask)

    def update(self, mask: Mask, regrowth: Regrowth = "never") -> None:
        """Hold another mask from now on.

        Args:
            mask: A mask of this agent.
            regrowth: What pruned weights may do from now on.

        Raises:
            MaskError: If the mask belongs to other networks.
        """
        if regrowth == self._regrowth:
            self._current.update(mask)
            return
        if self._regrowth == "any_step":
            self._dense.update(mask)  # what returns does so with its value
        self._current.detach()
        self.attach(mask, regrowth)

    def detach(self) -> None:
        """Let go: plain dense weights of the original shapes, with exact zeros."""
        self._current.detach()

    def verify(self) -> None:
        """Raise a :class:`~offline_prune.errors.MaskError` unless the mask is held."""
        self._current.verify()

    def weights(self) -> dict[str, Tensor]:
        """Weight name → its value now, of the original shape, whatever is trained."""
        return self._current.weights()

    def targets(self) -> dict[str, Tensor]:
        """The same for the target networks."""
        return self._current.targets()

    def unmasked(self) -> dict[str, Tensor]:
        """Weight name → what the last optimizer step made of it, before it was masked."""
        return self._dense.unmasked() if self._regrowth == "any_step" else self.weights()

    def gradients(self) -> dict[str, Tensor]:
        """Weight name → the last step's dense gradient; empty where none was noted."""
        return self._dense.gradients()
