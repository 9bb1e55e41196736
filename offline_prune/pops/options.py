"""What a user asks of pruning and shrinking, checked before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from d3rlpy.algos import BCConfig

from offline_prune.agents.configure import check_config
from offline_prune.base.arguments import check_seed, finite_number, whole_number
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.masks.allocation import check_sparsity
from offline_prune.pops.gate import Gate

__all__ = ["GATES", "LEARNING_RATE", "ShrinkOptions"]

GATES = ("auto", "environment", "agreement")
"""Names of gates."""

LEARNING_RATE = 1e-3
"""d3rlpy's for imitation. A teacher's own served another loss: DQN's is 6.25e-5."""


@dataclass(frozen=True)
class ShrinkOptions:
    """Options of :func:`~offline_prune.pops.prune_and_shrink`, which explains them."""

    objective: float | None = None
    lower_bound: float | None = None
    gate: str | Gate = "auto"
    gate_interval: int = 1_000
    gate_episodes: int = 20
    n_steps: int = 50_000
    distil_steps: int = 50_000
    final_sparsity: float = 0.99
    temperature: float = 0.01
    patience: int = 5
    minimum_width: int = 4
    max_iterations: int = 10
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every option.

        Raises:
            InputError: If one is out of range.
        """
        for option in (
            "gate_interval",
            "gate_episodes",
            "n_steps",
            "distil_steps",
            "patience",
            "minimum_width",
            "max_iterations",
            "batch_size",
        ):
            number = getattr(self, option)
            if option == "batch_size" and number is None:
                continue
            object.__setattr__(self, option, whole_number(option, number, 1))
        for option in ("temperature", "learning_rate"):
            value = getattr(self, option)
            if option == "learning_rate" and value is None:
                continue
            object.__setattr__(self, option, finite_number(option, value))
            if value <= 0:
                raise InputError(f"{option} is a positive number, not {value!r}.")
        if self.learning_rate is not None:
            check_config(BCConfig(learning_rate=self.learning_rate))
        object.__setattr__(self, "seed", check_seed(self.seed))
        check_sparsity(self.final_sparsity)
        if isinstance(self.gate, str):
            if self.gate not in GATES:
                raise UnknownNameError("gate", self.gate, GATES)
        elif not isinstance(self.gate, Gate):
            raise InputError(
                f"gate is one of {', '.join(GATES)}, or an object with objective, lower_bound,"
                f" description and score(algo), not {type(self.gate).__name__}."
            )
        elif self.objective is not None or self.lower_bound is not None:
            raise InputError("A gate of your own has its objective and lower_bound itself.")
        bounds = [b for b in (self.lower_bound, self.objective) if b is not None]
        for bound in bounds:
            if (
                isinstance(bound, bool)
                or not isinstance(bound, int | float)
                or not math.isfinite(bound)
            ):
                raise InputError(f"objective and lower_bound are finite numbers, not {bound!r}.")
        if bounds != sorted(bounds):
            raise InputError(
                f"lower_bound={self.lower_bound} is above objective={self.objective}: pruning"
                " pauses below the one, students are good from the other on."
            )
