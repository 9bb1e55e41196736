"""Prune an algorithm of tianshou while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import whole_number
from offline_prune.hosts.session import Asked, Session
from offline_prune.hosts.tianshou.host import agent_of
from offline_prune.masks.allocation import Allocation
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import make_parameterization
from offline_prune.methods import MethodLike
from offline_prune.saliency.scoring import DEFAULT_N_BATCHES

__all__ = ["Pruning"]


class Pruning:
    """Prune the value network of a tianshou algorithm while its trainer runs.

    ::

        with Pruning(algorithm, "gmp", 0.9, n_gradient_steps=100_000) as pruning:
            algorithm.run_training(params)
        pruning.mask

    tianshou has no callback that knows gradient steps; the block counts the optimizer's. In noisy
    layers (Rainbow) the means are scored and pruned, and the standard deviations of pruned
    weights are zero too. Losses, trainer, optimizer and ``state_dict`` are tianshou's own. When
    the block ends pruned weights are exactly zero and nothing holds them any more. At sparsity 0
    nothing is different, bit for bit.

    Attributes:
        agent: The algorithm as networks.
        mask: The final mask; None before the block's end.
        step: Gradient steps that were done in the block.

    Examples:
        >>> import gymnasium
        >>> from tianshou.algorithm import DQN
        >>> from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
        >>> from tianshou.algorithm.optim import AdamOptimizerFactory
        >>> from tianshou.data import Collector, VectorReplayBuffer
        >>> from tianshou.env import DummyVectorEnv
        >>> from tianshou.trainer import OffPolicyTrainerParams
        >>> from tianshou.utils.net.common import Net
        >>> from offline_prune.hosts.tianshou import Pruning
        >>> env = gymnasium.make("CartPole-v1")
        >>> policy = DiscreteQLearningPolicy(
        ...     model=Net(state_shape=(4,), action_shape=2, hidden_sizes=[16]),
        ...     action_space=env.action_space, observation_space=env.observation_space,
        ... )
        >>> algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(), target_update_freq=10)
        >>> envs = DummyVectorEnv([lambda: gymnasium.make("CartPole-v1")])
        >>> collector = Collector(algorithm, envs, VectorReplayBuffer(512, 1))
        >>> _ = collector.reset(), collector.collect(n_step=64)
        >>> params = OffPolicyTrainerParams(
        ...     training_collector=collector, max_epochs=1, epoch_num_steps=40, batch_size=16,
        ...     collection_step_num_env_steps=1, update_step_num_gradient_steps_per_sample=1.0,
        ...     verbose=False, show_progress=False,
        ... )
        >>> with Pruning(algorithm, "gmp", 0.9, n_gradient_steps=40) as pruning:
        ...     _ = algorithm.run_training(params)
        >>> print(f"{pruning.mask.sparsity:.2f}")
        0.90
    """

    def __init__(
        self,
        algorithm: Any,
        method: MethodLike = "gmp",
        sparsity: float | Mapping[str, float] = 0.9,
        *,
        n_gradient_steps: int,
        buffer: Any = None,
        allocation: Allocation | None = None,
        structure: str | None = None,
        seed: int = 0,
        n_batches: int = DEFAULT_N_BATCHES,
        engine: str = "masked",
        parameterization: str = "standard",
    ) -> None:
        """Prepare; nothing changes before the block begins.

        Args:
            algorithm: DQN, C51, RainbowDQN or QRDQN of tianshou 2.
            method: As :func:`~offline_prune.prune_then_train` takes it.
            sparsity: Fraction of the weights to remove, in [0, 1).
            n_gradient_steps: Gradient steps that the trainer will take in the block: schedules
                are fractions of it.
            buffer: A replay buffer with steps in it, for methods that score before training.
            allocation: As there; None for the method's own.
            structure: As there: ``"units"``, ``"block(4, 8)"``, ``"2:4"``; None for none.
            seed: Of scores and noise.
            n_batches: Scoring mini-batches.
            engine: ``"masked"`` or ``"compact"``.
            parameterization: ``"standard"`` or ``"sparse"``, as there.

        Raises:
            InputError: If an argument is wrong, or the method cannot be used here.
        """
        asked = Asked(
            method,
            sparsity,
            allocation=allocation,
            structure=structure,
            seed=seed,
            n_batches=n_batches,
            engine=engine,
            parameterization=make_parameterization(parameterization),
        )
        n_steps = whole_number("n_gradient_steps", n_gradient_steps, 1)
        self.agent: Agent = agent_of(algorithm)
        self.mask: Mask | None = None
        self._algorithm, self._buffer = algorithm, buffer
        self._session = Session(self.agent, asked, n_steps)

    @property
    def step(self) -> int:
        """Gradient steps that were done."""
        return self._session.step

    def __enter__(self) -> Pruning:
        """Hold the first mask."""
        self._session.begin(self._buffer, self._algorithm.optim._optim)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run; after an error, let go."""
        if error is None:
            self.mask = self._session.end()
        else:
            self._session.release()
