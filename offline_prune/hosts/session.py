"""A run of pruning that goes along with a library's training, one tick a gradient step."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import whole_number
from offline_prune.engines import make_following_engine
from offline_prune.errors import InputError
from offline_prune.masks.allocation import Allocation
from offline_prune.masks.checks import check_request, check_structure_with
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization
from offline_prune.methods import (
    MethodLike,
    PruningMethod,
    PruningSettings,
    make_method,
    refuse_replacement,
)
from offline_prune.methods.clock import Clock
from offline_prune.run.choices import any_agents
from offline_prune.saliency.scoring import DEFAULT_N_BATCHES

__all__ = ["ENGINES", "Asked", "Session"]

ENGINES = ("masked", "compact")
"""Engines that know no library's modules."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a run.

    Attributes:
        method: As :func:`~offline_prune.methods.make_method` takes it.
        sparsity: Fraction of the weights to remove, or role → fraction; a mask has its own.
        allocation: None for the method's own.
        structure: Of masks; None for none.
        seed: Of scores and noise.
        n_batches: Scoring mini-batches.
        engine: One of :data:`ENGINES`.
        parameterization: Of initial weights and steps.
    """

    method: MethodLike
    sparsity: float | Mapping[str, float]
    allocation: Allocation | None = None
    structure: str | None = None
    seed: int = 0
    n_batches: int = DEFAULT_N_BATCHES
    engine: str = "masked"
    parameterization: Parameterization = STANDARD

    def __post_init__(self) -> None:
        """Check what can be checked without an agent.

        Raises:
            InputError: If something is wrong, or the method needs d3rlpy.
        """
        whole_number("n_batches", self.n_batches, 1)
        if self.engine not in ENGINES:
            raise InputError(f"engine is 'masked' or 'compact' here, not {self.engine!r}.")
        if self.structure is not None:
            check_structure_with(self.structure, self.allocation, refill=False)
        if (known := any_agents(self.method, structure=self.structure)) is not None:
            _refuse_other_agents(known)


class Session:
    """Holds a method's masks while a library trains its agent.

    Attributes:
        clock: Agent, method and engine.
        n_steps: Gradient steps that were foreseen.
        step: Gradient steps that are done.
    """

    def __init__(self, agent: Agent, asked: Asked, n_steps: int) -> None:
        """Choose method and engine; nothing changes before :meth:`begin`.

        Args:
            agent: The agent.
            asked: What is asked for.
            n_steps: Gradient steps that training will take.

        Raises:
            InputError: If something does not go with this agent.
        """
        given = asked.method if isinstance(asked.method, Mask) else None
        sparsity = asked.sparsity
        if given is not None:  # whole units leave a little more than was asked for
            sparsity = {role: given[role].sparsity for role in given.roles}
        settings = PruningSettings(
            check_request(agent, sparsity, asked.allocation, structure=asked.structure),
            seed=asked.seed,
            n_steps=n_steps,
            n_batches=asked.n_batches,
            allocation=asked.allocation,
            structure=asked.structure,
        )
        method = make_method(asked.method, settings)
        _refuse_other_agents(method)
        method.choose_agent(agent, None)  # type: ignore[arg-type]  # it may refuse
        engine = make_following_engine(asked.engine, agent, asked.parameterization)
        self.clock = Clock(agent, method, engine)
        self.n_steps, self.step = n_steps, 0
        self._asked = asked
        self._ticking: RemovableHandle | None = None

    @property
    def waits_for_data(self) -> bool:
        """Whether the method makes its mask before training, of data."""
        return not self.clock.method.while_training

    @property
    def mask(self) -> Mask | None:
        """The mask in force; None before :meth:`begin`."""
        return self.clock.engine.mask

    def begin(self, data: Any, watched: Optimizer, *, trained: bool = False) -> None:
        """Hold the first mask, and tick from now on.

        Args:
            data: What the host draws scoring mini-batches from.
            watched: The optimizer whose steps are counted; no graph needs the weights then.
            trained: Whether the weights were trained before, and keep their scale.
        """
        self.clock.begin(data, STANDARD if trained else self._asked.parameterization)
        # Torch's hook for all optimizers: masks change hooks of single ones, which torch
        # walks through right then.
        self._ticking = register_optimizer_step_post_hook(_after(watched, weakref.ref(self)))

    def tick(self) -> None:
        """Count a gradient step."""
        self.step += 1
        if self.step <= self.n_steps:
            self.clock.tick(self.step)

    def end(self) -> Mask:
        """End the run: plain weights, the pruned ones exactly zero.

        Where training ended early, the last mask is made now.

        Returns:
            The final mask.
        """
        self._stop_ticking()
        if self.step < self.n_steps and self.clock.method.while_training:
            self.clock.tick(self.n_steps)
        return self.clock.end()

    def release(self) -> None:
        """Let go of the agent, whatever the state of its training."""
        self._stop_ticking()
        self.clock.stop()

    def _stop_ticking(self) -> None:
        if self._ticking is not None:
            self._ticking.remove()
            self._ticking = None


def _after(
    watched: Optimizer, session: weakref.ref[Session]
) -> Callable[[Optimizer, Any, Any], None]:
    """A hook that counts the steps of one optimizer."""

    def hook(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if optimizer is watched and (owner := session()) is not None:
            owner.tick()

    return hook


def _refuse_other_agents(method: PruningMethod) -> None:
    refuse_replacement(method, "the agent that trains here is another library's")
    if method.builds_d3rlpy:
        raise InputError(
            f"{type(method).__name__} builds d3rlpy's agents or changes its datasets. Use another"
            " method, or give the agent narrower layers yourself."
        )
