"""The masked engine: weights of the original shape, the pruned ones held at zero."""

from __future__ import annotations

from offline_prune.agents.host import Change
from offline_prune.engines.engine import Engine
from offline_prune.engines.zeros import impose, pruned_entries
from offline_prune.masks.mask import Mask

__all__ = ["MaskedEngine"]


class MaskedEngine(Engine):
    """Hold an agent's pruned weights at exactly 0.0, in its targets too.

    ``attach`` sets pruned weights, their twins in the target networks and their optimizer
    moments to zero, and hooks every masked weight so that the pruned entries of its
    gradient are zero before any optimizer or gradient clipping sees them. All of d3rlpy's
    optimizers then leave the zeros alone: Adam's moments stay 0, weight decay of 0 is 0.
    Constant outputs of units that lost all inputs move into the next bias first
    (:func:`~offline_prune.engines.zeros.impose`), so that the connected part computes the
    same function as the nominal mask. Module structure, parameter order, ``save`` and
    ``save_model`` are untouched, so the files open in stock d3rlpy.

    Examples:
        >>> from offline_prune import MaskedEngine, score
        >>> scored = score("pendulum/mixture-v0", "bc", 0.95)
        >>> engine = MaskedEngine(scored.agent)
        >>> engine.attach(scored.mask)
        >>> zeros = sum(int((weight == 0).sum()) for weight in engine.weights().values())
        >>> zeros >= scored.mask.n_weights - scored.mask.n_kept
        True
        >>> engine.detach()
    """

    def _hold(self, mask: Mask) -> list[Change]:
        impose(self._agent, mask)
        self._keep_all(pruned_entries(self._agent, mask.connected))
        self._lengthen_steps(mask, mask.connected)
        return []
