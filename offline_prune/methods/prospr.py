"""ProsPr: pruning once, by what the loss will be after some steps of training."""

from __future__ import annotations

from functools import partial

from offline_prune.methods.method import PruningSettings
from offline_prune.methods.single_shot import SingleShot
from offline_prune.saliency.prospr import LEARNING_RATE, check_steps, prospr

__all__ = ["ProsPr"]


class ProsPr(SingleShot):
    """Score by the derivative of the loss after steps of SGD, through those steps.

    Formula: ``score = |∂L(w_T)/∂c|`` at c = 1, where ``w_0 = c ⊙ w``
    (:func:`~offline_prune.saliency.prospr.prospr`).

    References:
        Alizadeh et al. 2022, arXiv 2202.08132.
    """

    def __init__(
        self,
        settings: PruningSettings,
        steps: int = 3,
        learning_rate: float = LEARNING_RATE,
        first_order: bool = False,
    ) -> None:
        """Prepare.

        Args:
            settings: Sparsities, allocation and scoring mini-batches.
            steps: T, at least 1.
            learning_rate: η of SGD, from 0 on.
            first_order: Whether to leave out second derivatives.

        Raises:
            InputError: If a number is out of range.
        """
        check_steps(steps, learning_rate, first_order)
        saliency = partial(
            prospr, steps=steps, learning_rate=learning_rate, first_order=first_order
        )
        super().__init__(saliency, settings)
