"""PX: pruning in rounds by the paths that the data leave open."""

from __future__ import annotations

from typing import ClassVar

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.methods.iterative import IterativePruning, Scorer
from offline_prune.saliency.px import check_paths, px

__all__ = ["PathExclusion"]


class PathExclusion(IterativePruning):
    """Keep the paths that matter most to the trace of the neural tangent kernel.

    Formula: ``score = w² · |∂R/∂(w²)|`` (:func:`~offline_prune.saliency.px.px`) on the
    mini-batches that other scores see; it looks at observations and actions, at no loss.
    What is pruned stays pruned.

    References:
        Iurada, Ciccone, Tommasi 2024, arXiv 2406.01820.
    """

    default_rounds: ClassVar[int] = 100  # as SynFlow has

    def choose_agent(self, agent: Agent, data: Dataset) -> Agent:
        """Return the given agent.

        Raises:
            AlgorithmError: If the wiring of a network is not known, or its activations
                are not ReLU.
        """
        check_paths(agent)
        return agent

    def scorer(self, agent: Agent, data: Dataset) -> Scorer:
        """PX of the masked agent, in every round on the same mini-batches."""
        seed = self.settings.seed
        batches = agent.host.draw_batches(data, self.settings.n_batches, seed)
        return lambda _: px(agent, batches, seed)
