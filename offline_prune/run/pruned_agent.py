"""An agent whose mask is held, and d3rlpy's callback that lets the mask change."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from offline_prune.agents.agent import Agent
from offline_prune.agents.copying import packed, unpacked
from offline_prune.data import Dataset
from offline_prune.engines import FollowingEngine, check_engine, make_following_engine
from offline_prune.engines.lasting import let_go
from offline_prune.errors import InputError
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization
from offline_prune.methods.clock import Clock
from offline_prune.methods.method import PruningMethod
from offline_prune.ofenet import OFENetTrainer, find_ofenet

__all__ = ["PrunedAgent", "check_feature_steps", "hold"]


@dataclass(frozen=True)
class PrunedAgent(Agent):
    """An agent whose mask is attached, ready for d3rlpy's ``fit`` or ``fit_online``.

    Attributes:
        engine: Holds the mask. While it does, ``engine.weights()`` has the current
            weights; ``engine.detach()`` lets go, and :attr:`weights` has them again.
        method: Decides when connections go.
        parameterization: Of its initial weights and steps.
        holding: Name of the engine that was asked for.
        features: Trains the OFENet whose features the networks read, on mini-batches of
            the algorithm's size; None without one, or if it had a trainer before, which
            its owner goes on calling.
    """

    engine: FollowingEngine
    method: PruningMethod
    parameterization: Parameterization = STANDARD
    features: OFENetTrainer | None = None
    holding: str = "auto"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled with the mask held.

        Raises:
            InputError: If the agent has an OFENet, whose trainer is not copied.
        """
        if self.features is not None:
            raise InputError(
                "An agent whose OFENet is being trained cannot be copied: its trainer follows"
                " one agent. Copy agent.algo, which is plain then."
            )
        mask, method = self.engine.mask, self.method
        return _held, (packed(self.algo), self.name, mask, method, self.holding,
                       self.parameterization)  # fmt: skip

    def callback(self, algo: Any, epoch: int, step: int) -> None:
        """Ask the method for a new mask: ``fit(…, callback=agent.callback)``.

        Needed by methods that prune while training and by agents with an OFENet, which
        takes a step of its own; harmless with the others.

        Args:
            algo: The algorithm; d3rlpy passes it.
            epoch: The epoch; d3rlpy passes it.
            step: Steps of d3rlpy's loop that are done: gradient steps of ``fit``,
                environment steps of ``fit_online``.
        """
        if self.features is not None:
            self.features(algo, epoch, step)
        self._clock.tick(step)

    def finish(self) -> Mask:
        """End the run: plain dense weights, the pruned ones exactly zero.

        Returns:
            The final mask.

        Raises:
            MaskError: If something overwrote the weights meanwhile.
        """
        try:
            return self._clock.end()
        finally:
            self._release_features()

    def release(self) -> None:
        """Let go of the agent, whatever the state of the run."""
        self._clock.stop()
        self._release_features()

    @property
    def _clock(self) -> Clock:
        return Clock(self, self.method, self.engine)

    def _release_features(self) -> None:
        if self.features is not None:
            self.features.ofenet.optimizer = None


def check_feature_steps(algo: Any, feature_steps: int) -> None:
    """Refuse to train features that are not there, or that somebody else trains.

    Args:
        algo: A built d3rlpy algorithm.
        feature_steps: Auxiliary steps asked for.

    Raises:
        InputError: If there are any, and no OFENet without a trainer.
    """
    ofenet = find_ofenet(algo)
    if feature_steps and ofenet is None:
        raise InputError(
            f"feature_steps={feature_steps} trains the features of an OFENet, and this"
            f" {type(algo).__name__} has none. Ask for one with"
            " algo_params={'encoder': 'ofenet'}, or leave feature_steps out; a sweep takes it"
            " for each algorithm: feature_steps={'iql': 1000}."
        )
    if feature_steps and ofenet is not None and ofenet.optimizer is not None:
        raise InputError(
            "The OFENet of this algorithm has a trainer already: call its"
            f" pretrain({feature_steps}) yourself, and leave feature_steps out."
        )


def hold(
    agent: Agent,
    data: Dataset,
    method: PruningMethod,
    engine: str,
    *,
    parameterization: Parameterization = STANDARD,
    transitions: Any = None,
    feature_steps: int = 0,
) -> tuple[PrunedAgent, Mask]:
    """Let a method choose agent, mask and initial weights, and an engine hold them.

    Args:
        agent: The agent.
        data: The fixed dataset.
        method: The method.
        engine: Name of the engine.
        parameterization: Of initial weights and steps, by the weights that a layer keeps.
        transitions: What an OFENet is trained on, if not the dataset.
        feature_steps: Auxiliary steps of an OFENet before the method looks at the agent.

    Returns:
        The agent, and the mask that is attached to it.

    Raises:
        InputError: If the method cannot work with this agent, there is no such engine, or
            there are no features to train.
    """
    check_engine(engine)
    check_feature_steps(agent.algo, feature_steps)
    let_go(agent.algo)  # of an earlier run's mask: this one's takes its place
    if method.while_training and agent.algo.compiled:
        raise InputError(
            "CUDA graphs hold on to the tensors they were captured with; this method changes"
            " them while training. Make the algorithm with compile_graph=False."
        )
    agent = method.choose_agent(agent, data)
    # May refuse, so before anything is trained.
    holding = make_following_engine(engine, agent, parameterization)
    features = None
    ofenet = find_ofenet(agent.algo)
    if ofenet is not None and ofenet.optimizer is None:  # else its trainer is somebody else's
        source = data if transitions is None else transitions
        size = max(2, agent.algo.batch_size)
        features = OFENetTrainer(agent.algo, source, batch_size=size, seed=method.settings.seed)
        features.pretrain(feature_steps)
    mask = Clock(agent, method, holding).begin(data, parameterization)
    return _pruned(agent, holding, method, parameterization, features, engine), mask


def _pruned(agent: Agent, *own: Any) -> PrunedAgent:
    """An agent with the fields that a pruned one has of its own, in their order."""
    return PrunedAgent(*(getattr(agent, f.name) for f in fields(Agent)), *own)


def _held(
    model: tuple[Any, ...],
    name: str,
    mask: Mask | None,
    method: PruningMethod,
    engine: str,
    parameterization: Parameterization,
) -> PrunedAgent:
    """A pruned agent as it was when it was copied."""
    agent = Agent.of(unpacked(*model), name)
    holding = make_following_engine(engine, agent, parameterization)
    if mask is not None:
        holding.attach(mask, method.regrowth)
    return _pruned(agent, holding, method, parameterization, None, engine)
