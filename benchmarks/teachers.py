"""Teachers for prune_and_shrink, trained here: DQN online, IQL offline.

The networks of CartPole and LunarLander are those of the PoPS paper (Livne, Cohen 2020,
arXiv 2001.05012); the dataset of a teacher is its own play, at four rates of random
actions. Pong is read from the console's 128 bytes of memory: on images its teacher takes hours.
IQL learns from ``halfcheetah/medium-small-v0``, at d3rlpy's learning rates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import d3rlpy
import gymnasium
import numpy as np
from d3rlpy.algos import DoubleDQNConfig, LinearDecayEpsilonGreedy
from d3rlpy.dataset import create_fifo_replay_buffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.preprocessing import MinMaxObservationScaler

from offline_prune import Dataset, load_dataset, prune_then_train
from offline_prune.data.made.collect import play_episode
from offline_prune.data.made.store import write_dataset

__all__ = ["TEACHERS", "Teacher"]

EVALUATION_SEED = 50_000
RANDOM_ACTIONS = (0.0, 0.05, 0.2, 0.5)


@dataclass(frozen=True)
class Teacher:
    """A trained agent and the states to distil it on.

    Attributes:
        title: What it is, in a table.
        algo: The d3rlpy algorithm.
        data: The dataset.
    """

    title: str
    algo: Any
    data: Dataset


def cartpole(folder: Path) -> Teacher:
    """Double DQN of 256-256-128 on CartPole-v0 (at most 200 steps)."""
    return _online(folder, "CartPole-v0", [256, 256, 128], Training(50_000), episodes=50)


def lunar_lander(folder: Path) -> Teacher:
    """Double DQN of 64-64-64 on LunarLander-v3."""
    return _online(folder, "LunarLander-v3", [64, 64, 64], Training(300_000), episodes=60)


def pong(folder: Path) -> Teacher:
    """Double DQN of 256-256-128 on Pong, sticky actions, from the console's memory."""
    import ale_py  # registers the game

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner
    environment = gymnasium.make("ALE/Pong-v5", obs_type="ram")
    scaler = MinMaxObservationScaler(minimum=np.zeros(128), maximum=np.full(128, 255.0))
    training = Training(
        600_000, every=25_000, plays=5, update_interval=4, params={"observation_scaler": scaler}
    )
    return _online(folder, environment, [256, 256, 128], training, episodes=5)


def half_cheetah(folder: Path) -> Teacher:
    """IQL with a 256-256 actor on HalfCheetah, dense, 20 000 steps."""
    data = load_dataset("halfcheetah/medium-small-v0")
    file = folder / "halfcheetah.d3"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        result = prune_then_train(
            data,
            "iql",
            0.0,
            algo_params={"actor_learning_rate": 3e-4},
            n_steps=20_000,
            evaluate=0,
            progress=False,
        )
        result.algo.save(str(file))
    return Teacher("IQL on HalfCheetah-v5", d3rlpy.load_learnable(str(file)), data)


TEACHERS: dict[str, Callable[[Path], Teacher]] = {
    "cartpole": cartpole,
    "lunarlander": lunar_lander,
    "pong": pong,
    "halfcheetah": half_cheetah,
}
"""Name → function of the folder in which what was trained is kept."""


@dataclass(frozen=True)
class Training:
    """How a teacher learns.

    Attributes:
        n_steps: Steps of the environment.
        every: Steps between two looks at the greedy policy.
        plays: Episodes of a look.
        update_interval: Steps between two gradient steps.
        params: Of d3rlpy's configuration, beside the usual ones.
    """

    n_steps: int
    every: int = 5_000
    plays: int = 20
    update_interval: int = 1
    params: dict[str, Any] = field(default_factory=dict)


def _online(
    folder: Path,
    environment: str | gymnasium.Env[Any, Any],
    hidden_units: list[int],
    training: Training,
    episodes: int,
) -> Teacher:
    if isinstance(environment, str):
        environment = gymnasium.make(environment)
    spec = environment.spec
    assert spec is not None
    name = spec.id.rpartition("/")[2].partition("-")[0].lower()
    file = folder / f"{name}.d3"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _train(file, spec, hidden_units, training)
    algo = d3rlpy.load_learnable(str(file))
    if not (folder / name).exists():
        _record(folder / name, environment, algo, episodes)
    return Teacher(f"Double DQN on {spec.id}", algo, load_dataset(folder / name))


def _train(file: Path, spec: Any, hidden_units: list[int], training: Training) -> None:
    """Train, and keep the best of the greedy policies looked at."""
    environment, test = gymnasium.make(spec), gymnasium.make(spec)
    d3rlpy.seed(0)
    environment.reset(seed=0)
    environment.action_space.seed(0)
    algo = DoubleDQNConfig(
        batch_size=128,
        learning_rate=3e-4,
        gamma=0.99,
        target_update_interval=1_000,
        encoder_factory=VectorEncoderFactory(hidden_units),
        **training.params,
    ).create()
    best = -np.inf

    def evaluate(algo: Any, epoch: int, step: int) -> None:
        nonlocal best
        if step % training.every:
            return
        seeds = range(EVALUATION_SEED, EVALUATION_SEED + training.plays)
        plays = [play_episode(test, _greedy(algo), seed) for seed in seeds]
        mean = float(np.mean([np.sum(play.rewards) for play in plays]))
        print(f"{spec.id} {step:7d} steps: mean return {mean:.1f}", flush=True)
        if mean > best:
            best = mean
            algo.save(str(file))

    algo.fit_online(
        environment,
        create_fifo_replay_buffer(100_000, env=environment),
        LinearDecayEpsilonGreedy(1.0, 0.05, training.n_steps // 6),
        n_steps=training.n_steps,
        n_steps_per_epoch=training.every,
        update_interval=training.update_interval,
        update_start_step=1_000,
        show_progress=False,
        logger_adapter=NoopAdapterFactory(),
        callback=evaluate,
    )


def _greedy(algo: Any) -> Callable[[Any], np.int64]:
    return lambda observation: np.int64(algo.predict(observation[None])[0])


def _record(path: Path, environment: gymnasium.Env[Any, Any], algo: Any, episodes: int) -> None:
    """The teacher's play, with random actions now and then, as a Minari dataset."""
    assert environment.spec is not None
    rng = np.random.default_rng(0)
    greedy = _greedy(algo)
    plays: list[Any] = []
    for rate in RANDOM_ACTIONS:

        def act(observation: Any, rate: float = rate) -> np.int64:
            if rng.random() < rate:
                return np.int64(rng.integers(environment.action_space.n))  # type: ignore[attr-defined]
            return greedy(observation)

        plays += [play_episode(environment, act, len(plays) + i) for i in range(episodes)]
    write_dataset(
        f"teachers/{path.name}-v0",
        plays,
        observation_space=environment.observation_space,
        action_space=environment.action_space,
        env_spec=environment.spec,
        metadata={"description": f"A double DQN's play of {environment.spec.id}."},
        path=path,
    )
