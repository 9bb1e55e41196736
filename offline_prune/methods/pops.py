"""PoPS: train densely, then prune and shrink the acting network."""

from __future__ import annotations

from typing import Any, ClassVar

from offline_prune.agents.agent import Agent
from offline_prune.base.expression import plain_word
from offline_prune.data import Dataset
from offline_prune.methods.method import PruningMethod, PruningSettings
from offline_prune.pops.loop import check_possible, shrink
from offline_prune.pops.options import ShrinkOptions, check_options
from offline_prune.pops.result import ShrinkResult

__all__ = ["PoPS"]


class PoPS(PruningMethod):
    """Train the algorithm densely; then a small dense student takes its place.

    While d3rlpy trains, nothing is pruned. Afterwards the trained agent is the teacher of
    :func:`~offline_prune.pops.prune_and_shrink`, and the result's agent is the student: a
    ``BC`` or ``DiscreteBC`` that has the acting network alone, all of it kept. The
    sparsity asked for the acting network (the actor, else the first critic) is the final
    one of the pruning schedule, not what the student ends with: its size is what the
    gate admits. At sparsity 0 the agent stays as it was trained.

    Attributes:
        shrunken: How the student came about, once training is over.

    References:
        Livne, Cohen 2020, arXiv 2001.05012.
    """

    replaces_agent: ClassVar[bool] = True
    structures: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self, settings: PruningSettings, steps: int = 50_000, gate: Any = "auto", **options: Any
    ) -> None:
        """Prepare.

        Args:
            settings: Sparsities and seed.
            steps: Gradient steps of one pruning schedule.
            gate: ``"auto"``, ``"environment"`` or ``"agreement"``.
            **options: ``objective``, ``lower_bound``, ``gate_interval``, ``gate_episodes``,
                ``distil_steps``, ``temperature``, ``patience``, ``minimum_width``,
                ``max_iterations``, ``batch_size`` and ``learning_rate`` of
                :func:`~offline_prune.pops.prune_and_shrink`.

        Raises:
            InputError: If an option does not exist or is out of range, or ``refill`` is
                asked for.
        """
        super().__init__(settings)
        acting = "actor" if "actor" in settings.sparsity else "critic[0]"
        self.shrunken: ShrinkResult | None = None
        self.options = check_options(
            ShrinkOptions(
                n_steps=steps,
                gate=plain_word(gate),
                final_sparsity=settings.sparsity[acting],
                seed=settings.seed,
                **options,
            )
        )

    def choose_agent(self, agent: Agent, data: Dataset) -> Agent:
        """Return the given agent, if it can be a teacher.

        Raises:
            AlgorithmError: If it cannot.
            InputError: If the dataset has no episode to hold out for the gate.
            EnvironmentUnavailableError: If the gate needs an environment that is not here.
        """
        if self.options.final_sparsity > 0.0:
            check_possible(agent, data, self.options)
        return agent

    def after_training(self, agent: Agent, data: Dataset) -> Agent:
        """Prune and shrink.

        Raises:
            ObjectiveNotReachedError: If no student reached the objective.
        """
        if self.options.final_sparsity == 0.0:
            return agent
        self.shrunken = shrink(agent, data, self.options, evaluate=0, progress=False)
        return Agent.of(self.shrunken.algo, agent.name)
