"""Train the behaviour policy of minatar/breakout-v0: d3rlpy's DQN, online.

python benchmarks/minatar_behaviour.py [--game Breakout] [--out FILE]

Network, replay buffer, discount, batch and target interval are those of the MinAtar
paper (Young, Tian 2019, arXiv 1903.03176); Adam and its ε are those of Obando-Ceron,
Castro 2021 (arXiv 2011.14826). To be done in a quarter of an hour it takes a gradient
step every second environment step, for 500 000 of them. Every 25 000 steps the greedy
policy plays 50 episodes, of other seeds than the reference scores'; the best one stays.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import d3rlpy
import gymnasium
import numpy as np
from d3rlpy.algos import DQN, DQNConfig, LinearDecayEpsilonGreedy
from d3rlpy.dataset import create_fifo_replay_buffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models import PixelEncoderFactory
from d3rlpy.optimizers import AdamFactory
from d3rlpy.preprocessing import PixelObservationScaler

import offline_prune.environments
from offline_prune.data.made.learned_behaviour import ImageQNetwork

SEED = 0
STEPS = 500_000
EVALUATE_EVERY = 25_000
EVALUATION_SEEDS = range(50_000, 50_050)


def network_of(algo: DQN) -> ImageQNetwork:
    """The Q network of a DQN with one convolution and one hidden layer, rounded."""
    weights = {name: w.numpy() for name, w in algo.impl.q_function[0].state_dict().items()}
    return ImageQNetwork.rounded(
        kernel=weights["_encoder._cnn_layers.0.weight"],
        kernel_bias=weights["_encoder._cnn_layers.0.bias"],
        hidden=weights["_encoder._last_layers.0.weight"],
        hidden_bias=weights["_encoder._last_layers.0.bias"],
        output=weights["_fc.weight"],
        output_bias=weights["_fc.bias"],
    )


def greedy_returns(
    network: ImageQNetwork, environment: gymnasium.Env[np.ndarray, np.int64], seeds: range
) -> list[float]:
    """Undiscounted returns of the greedy policy, one episode a seed."""
    returns = []
    for seed in seeds:
        observation, _ = environment.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            action = np.int64(np.argmax(network.values(observation)))
            observation, reward, terminated, truncated, _ = environment.step(action)
            total += float(reward)
            done = terminated or truncated
        returns.append(total)
    return returns


def main() -> None:
    """Train, print the learning curve, write the best policy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--game", default="Breakout", choices=offline_prune.environments.MINATAR_GAMES
    )
    parser.add_argument("--out", type=Path, default=Path("behaviour.safetensors"))
    arguments = parser.parse_args()
    name = f"offline_prune/MinAtar-{arguments.game}-v0"
    environment, test_environment = gymnasium.make(name), gymnasium.make(name)
    d3rlpy.seed(SEED)
    environment.reset(seed=SEED)
    environment.action_space.seed(SEED)
    algo = DQNConfig(
        batch_size=32,
        learning_rate=2.5e-4,
        optim_factory=AdamFactory(eps=3.125e-4),
        encoder_factory=PixelEncoderFactory(filters=[[16, 3, 1]], feature_size=128),
        observation_scaler=PixelObservationScaler(),
        gamma=0.99,
        target_update_interval=1000,
    ).create()
    best = -np.inf

    def evaluate(algo: DQN, epoch: int, step: int) -> None:
        nonlocal best
        if step % EVALUATE_EVERY:
            return
        network = network_of(algo)
        mean = float(np.mean(greedy_returns(network, test_environment, EVALUATION_SEEDS)))
        kept = mean > best
        if kept:
            best = mean
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            network.save(arguments.out)
        print(f"{step:7d} steps: mean return {mean:.2f}{' *' if kept else ''}", flush=True)

    algo.fit_online(
        environment,
        create_fifo_replay_buffer(100_000, env=environment),
        LinearDecayEpsilonGreedy(1.0, 0.1, 100_000),
        n_steps=STEPS,
        n_steps_per_epoch=EVALUATE_EVERY,
        update_interval=2,
        update_start_step=5_000,
        show_progress=False,
        logger_adapter=NoopAdapterFactory(),
        callback=evaluate,
    )


if __name__ == "__main__":
    main()
