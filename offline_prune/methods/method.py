"""What every pruning method does, and what most do in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.network import Network
from offline_prune.data import Dataset
from offline_prune.engines import FollowingEngine, Regrowth
from offline_prune.errors import InputError
from offline_prune.masks.allocation import Allocation, kept_count
from offline_prune.masks.build import all_kept, build_mask, mask_from_kept
from offline_prune.masks.mask import Mask
from offline_prune.masks.structures import STRUCTURES, kind_of, make_structure
from offline_prune.masks.ties import zeros_at_random
from offline_prune.request.options import ScoringOptions
from offline_prune.saliency.objective import Saliency, Scores
from offline_prune.saliency.scoring import DEFAULT_N_BATCHES, score_networks

__all__ = ["PruningMethod", "PruningSettings", "refuse_replacement"]


@dataclass(frozen=True)
class PruningSettings(ScoringOptions):
    """What the user asked of a pruning method.

    Its other settings are those of :func:`offline_prune.prune`, which explains them.

    Attributes:
        sparsity: Role → fraction of that network's prunable weights to remove.
        seed: Of mini-batches, noise and random scores.
        n_steps: Gradient steps that training will take.

    Examples:
        >>> from offline_prune.methods import PruningSettings
        >>> settings = PruningSettings({"actor": 0.9}, n_batches=4, seed=7)
        >>> settings.sparsity, settings.n_batches, settings.allocation
        ({'actor': 0.9}, 4, None)
    """

    sparsity: Mapping[str, float]
    seed: int = field(default=0, kw_only=True)
    n_steps: int = field(default=0, kw_only=True)
    n_batches: int = field(default=DEFAULT_N_BATCHES, kw_only=True)

    def score(self, agent: Agent, data: Dataset, saliency: Saliency) -> dict[str, Scores]:
        """Score an agent's networks as asked for: role → weight name → score."""
        return score_networks(
            agent,
            data,
            saliency,
            n_batches=self.n_batches,
            seed=self.seed,
            average=self.average,
            float64=self.float64,
        )

    def build(
        self,
        agent: Agent,
        scores: Mapping[str, Scores],
        within: Mapping[str, Tensor] | None = None,
    ) -> Mask:
        """Make the mask of scores as asked for; zeros are kept in an order of the seed's.

        Args:
            agent: The agent.
            scores: Role → weight name → score; higher = keep.
            within: Weight name → boolean: which weights may be kept, told to a structure; the
                scores of others are the lowest. None for all.
        """
        generator = torch.Generator().manual_seed(self.seed)
        ordered = {
            role: {name: zeros_at_random(score, generator) for name, score in found.items()}
            for role, found in scores.items()
        }
        return build_mask(
            agent,
            ordered,
            self.sparsity,
            self.allocation or "global",
            share_critics=self.share_critics,
            refill=self.refill,
            structure=self.structure,
            within=within,
        )

    def kept_count(self, networks: Iterable[Network]) -> int:
        """Weights that these networks may keep together."""
        return sum(kept_count(net.n_weights, self.sparsity[net.role]) for net in networks)

    def at(self, sparsity: Mapping[str, float]) -> PruningSettings:
        """The same at other sparsities."""
        return replace(self, sparsity=sparsity)


class PruningMethod:
    """Decides when connections go.

    Training starts with a mask that keeps everything, unless a method says otherwise; every
    other moment has a default that does nothing.

    Attributes:
        settings: What the user asked for.
        mask: The mask in force, once :meth:`before_training` has made one.
        scores: Role → weight name → score that decided it; None where none did.
        regrowth: What pruned weights may do while the mask in force is held; a method
            that prunes while training changes it as it goes on.

    Examples:
        >>> from offline_prune import prune_then_train
        >>> from offline_prune.methods import PruningMethod
        >>> class SmallestFirst(PruningMethod):
        ...     def before_training(self, agent, data):
        ...         scores = {
        ...             network.role: {name: -w.abs() for name, w in network.weights.items()}
        ...             for network in agent.networks
        ...         }
        ...         self.mask = self.settings.build(agent, scores)
        ...         return self.mask
        >>> result = prune_then_train(
        ...     "pendulum/mixture-v0", "bc", 0.9, method=SmallestFirst, n_steps=20, evaluate=0,
        ...     progress=False,
        ... )
        >>> print(f"{result.mask.sparsity:.2f}")
        0.90
    """

    default_allocation: ClassVar[Allocation] = "global"
    """Allocation where the user names none."""

    while_training: ClassVar[bool] = False
    """Whether masks change during training; such a method needs no dataset."""

    replaces_agent: ClassVar[bool] = False
    """Whether :meth:`after_training` may return another agent."""

    builds_d3rlpy: bool = False
    """Whether it builds d3rlpy's agents or datasets itself, so that no other host can have it."""

    structures: ClassVar[frozenset[str]] = frozenset(STRUCTURES)
    """Kinds of structures that its masks can have."""

    scales_weights: bool = False
    """Whether :meth:`initialise` scales weights for the fan-in that is left."""

    def __init__(self, settings: PruningSettings) -> None:
        """Prepare.

        Args:
            settings: What the user asked for.

        Raises:
            InputError: If ``refill`` is asked of a method that prunes while training or after, or
                a structure of one whose masks cannot have it.
        """
        if settings.structure is not None:
            kind = kind_of(make_structure(settings.structure))
            if kind not in self.structures:
                known = ", ".join(sorted(self.structures)) or "none"
                raise InputError(
                    f"Masks of {type(self).__name__} cannot have structure={settings.structure!r}:"
                    f" it knows {known}. Take a method that makes its mask before training, such"
                    " as snip."
                )
        if (self.while_training or self.replaces_agent) and settings.refill:
            raise InputError("refill serves masks that are made before training.")
        if settings.allocation is None:
            settings = replace(settings, allocation=self.default_allocation)
        self.settings = settings
        self.mask: Mask | None = None
        self.scores: dict[str, Scores] | None = None
        self.regrowth: Regrowth = "never"

    def choose_agent(self, agent: Agent, data: Dataset) -> Agent:
        """Return the agent to prune and train: the given one, or another architecture."""
        return agent

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Return the mask that training starts with; leave the agent as it is."""
        self.mask = mask_from_kept(agent, all_kept(agent))
        return self.mask

    def initialise(self, agent: Agent, mask: Mask) -> None:
        """Change initial weights before the mask is held; nothing by default."""

    def after_step(self, agent: Agent, engine: FollowingEngine, step: int) -> Mask | None:
        """Return a new mask after step ``step`` (from 1), None to keep the one in force.

        Args:
            agent: The agent.
            engine: Holds the mask; has the current weights, the dense gradients and
                the unmasked weights.
            step: Steps of d3rlpy's training loop that are done.
        """
        return None

    def release(self, agent: Agent) -> None:
        """Take away whatever was put on the agent; also called when training fails."""

    def finish(self, agent: Agent, engine: FollowingEngine) -> Mask:
        """Return the final mask, which the engine holds by then.

        Args:
            agent: The agent.
            engine: Holds the mask in force.
        """
        if self.mask is None:
            raise RuntimeError("before_training has not run.")
        return self.mask

    def after_training(self, agent: Agent, data: Dataset) -> Agent:
        """Return the agent to keep: the trained one, or another one that it taught.

        Args:
            agent: The trained agent; nothing holds it any more.
            data: The fixed dataset.
        """
        return agent


def refuse_replacement(method: PruningMethod, what: str) -> None:
    """Refuse a method that replaces the trained agent where nobody would call it then.

    Args:
        method: The method.
        what: What cannot be done with it, for the message.

    Raises:
        InputError: If it is such a method.

    Examples:
        >>> from offline_prune.methods import PruningSettings, make_method, refuse_replacement
        >>> settings = PruningSettings({"actor": 0.9}, n_steps=100)
        >>> refuse_replacement(make_method("snip", settings), "scoring")  # no word: it may
        >>> refuse_replacement(make_method("pops", settings), "scoring")
        Traceback (most recent call last):
            ...
        offline_prune.errors.InputError: ...
    """
    if method.replaces_agent:
        raise InputError(
            f"{type(method).__name__} replaces the agent when its training is over: {what}."
            " Call prune_then_train, or train and then call prune_and_shrink."
        )
