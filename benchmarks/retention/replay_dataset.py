"""Make prune/halfcheetah/replay-v0: what a SAC agent does at five stages of its learning.

    OMP_NUM_THREADS=1 python benchmarks/retention/replay_dataset.py --out runs/replay

trains Stable-Baselines3's SAC on HalfCheetah-v5 and stops at every stage for twenty episodes of
sampled actions: 100 000 steps of several qualities, with the reference scores of the other
HalfCheetah sets, in Minari's local root (``MINARI_DATASETS_PATH``). About 35 minutes of one core.
Stages that are done lie in the folder and are not trained again; interrupted or not, the same
kind of processor makes the same data. Another one rounds otherwise, so its agent learns otherwise.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from minari import MinariDataset
from minari.data_collector.episode_buffer import EpisodeBuffer
from numpy.typing import NDArray
from stable_baselines3 import SAC

from offline_prune.base.atomic import written_aside_directory
from offline_prune.data import list_dataset_recipes
from offline_prune.data.made.collect import play_episode
from offline_prune.data.made.store import check_new_id, write_dataset

DATASET = "prune/halfcheetah/replay-v0"
ENVIRONMENT = "HalfCheetah-v5"
REFERENCES = "halfcheetah/medium-small-v0"
"""The recipe whose reference scores are those of the environment."""


@dataclass(frozen=True)
class Plan:
    """What is trained and played.

    Attributes:
        stages: Steps of the environment after which is played, ascending; each but the
            first ``random_steps`` comes with a gradient step.
        episodes: Of each stage.
        random_steps: Of uniformly random actions, at the start.
        batch_size: Of a gradient step.
        seed: Of everything.
    """

    stages: tuple[int, ...] = (20_000, 50_000, 100_000, 150_000, 200_000)
    episodes: int = 20
    random_steps: int = 5_000
    batch_size: int = 128
    seed: int = 0


def main() -> None:
    """Train, play, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the stages")
    torch.set_num_threads(1)
    made = make(parser.parse_args().out, Plan())
    print(f"{made.id}: {made.total_steps:,} steps, {made.total_episodes} episodes")


def make(folder: Path, plan: Plan) -> MinariDataset:
    """Make the dataset.

    Args:
        folder: Where the stages are kept.
        plan: What is trained and played.

    Returns:
        The dataset, in Minari's local root.

    Raises:
        DatasetError: If there is one of that id, before anything is trained.
    """
    check_new_id(DATASET)
    episodes: list[EpisodeBuffer] = []
    returns = []
    for stage, steps in enumerate(plan.stages):
        agent = trained(folder, plan, stage)
        own = played(agent, plan, stage)
        returns.append(f"{np.mean([np.sum(episode.rewards) for episode in own]):,.0f}")
        print(f"{steps:,} steps: mean return {returns[-1]}", flush=True)
        episodes += own
    environment = gymnasium.make(ENVIRONMENT)
    references = list_dataset_recipes()[REFERENCES]
    stages = ", ".join(f"{steps:,}" for steps in plan.stages)
    return write_dataset(
        DATASET,
        episodes,
        observation_space=environment.observation_space,
        action_space=environment.action_space,
        env_spec=environment.spec,
        metadata={
            "algorithm_name": f"SAC of stable-baselines3 {version('stable-baselines3')}",
            "description": f"{plan.episodes} episodes of sampled actions of one SAC agent after"
            f" each of {stages} steps; mean returns {', '.join(returns)}.",
            "ref_min_score": references.reference_min,
            "ref_max_score": references.reference_max,
        },
    )


def trained(folder: Path, plan: Plan, stage: int) -> SAC:
    """The agent at a stage, trained from the stage before unless it is there.

    Every stage begins from files, with seeds of its own: whether the one before was
    trained a moment or a day ago makes no difference.
    """
    done = folder / f"stage-{stage}"
    if not done.exists():
        if stage:
            agent = trained(folder, plan, stage - 1)
            agent.load_replay_buffer(folder / f"stage-{stage - 1}" / "buffer.pkl")
            agent.set_random_seed(plan.seed + stage)
            before = plan.stages[stage - 1]
        else:
            agent, before = untrained(plan), 0
        agent.learn(plan.stages[stage] - before, reset_num_timesteps=not stage)
        with written_aside_directory(done) as aside:
            agent.save(aside / "agent.zip")
            agent.save_replay_buffer(aside / "buffer.pkl")
        if stage > 1:  # its agent stays; nobody goes on from there any more
            (folder / f"stage-{stage - 2}" / "buffer.pkl").unlink(missing_ok=True)
    return SAC.load(done / "agent.zip", env=gymnasium.make(ENVIRONMENT), device="cpu")


def untrained(plan: Plan) -> SAC:
    """Stable-Baselines3's defaults, but for half the mini-batch: a third less time."""
    return SAC(
        "MlpPolicy",
        gymnasium.make(ENVIRONMENT),
        batch_size=plan.batch_size,
        buffer_size=plan.stages[-1],
        learning_starts=plan.random_steps,
        policy_kwargs={"net_arch": [256, 256]},
        seed=plan.seed,
        device="cpu",
    )


def played(agent: SAC, plan: Plan, stage: int) -> list[EpisodeBuffer]:
    """Episodes of an agent's sampled actions."""

    def act(observation: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(agent.predict(observation, deterministic=False)[0], dtype=np.float32)

    agent.set_random_seed(plan.seed + 1_000 + stage)
    environment = gymnasium.make(ENVIRONMENT)
    first = 10_000 * (stage + 1) + plan.seed
    return [play_episode(environment, act, first + n) for n in range(plan.episodes)]


if __name__ == "__main__":
    main()
