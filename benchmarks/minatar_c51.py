"""C51 of tianshou on a game of MinAtar, with the budget that DQN of Stable-Baselines3 gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from minatar_network import UNITS, body
from numpy.typing import NDArray
from tianshou.algorithm import C51
from tianshou.algorithm.modelfree.c51 import C51Policy
from tianshou.algorithm.optim import TorchOptimizerFactory
from tianshou.data import Batch, Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from torch import Tensor, nn

from offline_prune.hosts.tianshou import Pruning

GAMES, BATCH, STARTS, ATOMS = 4, 32, 5000, 51


class Distribution(nn.Module):
    """Probabilities of returns of every action."""

    def __init__(self, shape: tuple[int, ...], n_actions: int, width: int) -> None:
        """Make the layers."""
        super().__init__()
        self.body = body(shape, width)
        self.head = nn.Linear(UNITS * width, n_actions * ATOMS)

    def forward(
        self, obs: NDArray[np.uint8], state: Any = None, info: Any = None
    ) -> tuple[Tensor, Any]:
        """(B, channels, 10, 10) of 0 and 255 → (B, actions, atoms)."""
        images = torch.as_tensor(obs, dtype=torch.float32) / 255
        logits = self.head(self.body(images))
        return logits.view(len(images), -1, ATOMS).softmax(2), state


class Buffer(VectorReplayBuffer):  # type: ignore[misc]
    """Games of bytes have no NaN. The trainer looks for one at every step, in a copy of it all."""

    def hasnull(self) -> bool:
        """Always False."""
        return False


class Greedy:
    """A trained algorithm, as Stable-Baselines3's evaluation asks an agent."""

    def __init__(self, algorithm: C51) -> None:
        """Keep it."""
        self.policy = algorithm.policy

    def predict(
        self, observation: NDArray[np.uint8], state: Any = None, **_: Any
    ) -> tuple[NDArray[np.int64], Any]:
        """The actions of the largest mean returns."""
        with torch.no_grad():
            actions: NDArray[np.int64] = self.policy(Batch(obs=observation, info={})).act
        return actions, state


def epsilon(step: int, n_steps: int) -> float:
    """From 1 to .05 over a quarter of the steps, as Stable-Baselines3's DQN has it."""
    return max(0.05, 1 - 0.95 * step / (0.25 * n_steps))


@contextmanager
def subnormal_as_zero() -> Iterator[None]:
    """Within it, numbers below 1.2e-38 are 0.

    Adam's moments of units that are dead decay to them, and a step of a wide network then takes
    several times as long.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def train(
    game: str, width: int, sparsity: float, seed: int, n_steps: int
) -> tuple[Greedy, nn.Module]:
    """Train one agent; it, and the network that is pruned.

    Four games go side by side, and after a step of each comes one gradient step.
    """
    np.random.seed(seed)
    torch.manual_seed(seed)
    games = DummyVectorEnv([lambda: gymnasium.make(game) for _ in range(GAMES)])
    games.seed(seed)
    single = gymnasium.make(game)
    shape, actions = single.observation_space.shape, single.action_space
    assert shape is not None
    assert isinstance(actions, gymnasium.spaces.Discrete)
    policy = C51Policy(
        model=Distribution(shape, int(actions.n), width),
        action_space=actions,
        observation_space=single.observation_space,
        num_atoms=ATOMS,
    )
    # 250 gradient steps are the 1 000 environment steps after which DQN's target is copied.
    # Adam's loop over tensors takes more than half of the time; fused, it is one pass over them.
    adam = TorchOptimizerFactory(torch.optim.Adam, lr=2.5e-4, fused=True)
    algorithm = C51(policy=policy, optim=adam, target_update_freq=250)
    buffer = Buffer(100_000, GAMES)
    collector = Collector(
        algorithm, games, buffer, exploration_noise=True, raise_on_nan_in_buffer=False
    )
    collector.reset()
    collector.collect(n_step=STARTS, random=True)
    parameters = OffPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=n_steps - STARTS,
        collection_step_num_env_steps=GAMES,
        update_step_num_gradient_steps_per_sample=1 / GAMES,
        batch_size=BATCH,
        training_fn=lambda _, step: policy.set_eps_training(epsilon(STARTS + step, n_steps)),
        verbose=False,
        show_progress=False,
    )
    n_gradient_steps = (n_steps - STARTS) // GAMES
    pruning = Pruning(algorithm, "gmp", sparsity, n_gradient_steps=n_gradient_steps, seed=seed)
    with subnormal_as_zero(), pruning as run:
        algorithm.run_training(parameters)
    assert run.step == n_gradient_steps
    return Greedy(algorithm), policy.model
