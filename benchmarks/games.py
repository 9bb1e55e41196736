"""What steps of games cost, and how little that is beside training on them.

    OMP_NUM_THREADS=1 python benchmarks/games.py

writes ``benchmarks/results/games.md``: seconds of the processor, so that other processes
on the machine hardly matter; medians of rounds in turn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import envpool
import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

import offline_prune.environments  # noqa: F401 - registers them
from offline_prune.base.atomic import written_aside
from offline_prune.hosts.sb3.impala import ImpalaFeatures

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "games.md"
ROUNDS, STEPS = 3, 4_096
GAMES = ("Procgen-CoinrunEasy", "Procgen-StarpilotEasy", "Atari-Pong", "MinAtar-Breakout")
GAMES_AT_ONCE = 64
ENVIRONMENTS, ROLLOUT, BATCH, EPOCHS = 16, 64, 256, 3
NETWORKS = {"IMPALA": False, "Impoola": True}
LAYOUTS = {
    "as Stable-Baselines3 has it": torch.contiguous_format,
    "channels last": torch.channels_last,
}


def single(name: str) -> Callable[[], float]:
    """Steps a second of one environment, with random actions."""
    environment = gymnasium.make(f"offline_prune/{name}-v0")
    environment.reset(seed=0)
    assert isinstance(environment.action_space, gymnasium.spaces.Discrete)
    actions = np.random.default_rng(0).integers(environment.action_space.n, size=STEPS)

    def measure() -> float:
        start = time.process_time()
        for action in actions:
            _, _, terminated, truncated, _ = environment.step(action)
            if terminated or truncated:
                environment.reset()
        return STEPS / (time.process_time() - start)

    return measure


def at_once(name: str) -> Callable[[], float]:
    """Steps a second of many games that envpool plays in one call."""
    pool = envpool.make(f"{name}-v0", "gymnasium", num_envs=GAMES_AT_ONCE, num_threads=1, seed=0)
    pool.reset()
    rounds = STEPS // GAMES_AT_ONCE
    actions = np.random.default_rng(0).integers(15, size=(rounds, GAMES_AT_ONCE), dtype=np.int32)

    def measure() -> float:
        start = time.process_time()
        for row in actions:
            pool.step(row)
        return STEPS / (time.process_time() - start)

    return measure


def ppo(pooled: bool, layout: torch.memory_format) -> tuple[float, float, float]:
    """Seconds of a rollout, of its environments' part, and of the update that follows."""
    environments = make_vec_env(
        "offline_prune/Procgen-CoinrunEasy-v0", ENVIRONMENTS, 0, env_kwargs={"num_levels": 200}
    )
    model = PPO(
        "CnnPolicy",
        environments,
        n_steps=ROLLOUT,
        batch_size=BATCH,
        n_epochs=EPOCHS,
        policy_kwargs={
            "features_extractor_class": ImpalaFeatures,
            "features_extractor_kwargs": {"pooled": pooled},
            "net_arch": [],
        },
        seed=0,
        device="cpu",
    )
    model.policy.to(memory_format=layout)
    spent = {"steps": 0.0, "rollout": 0.0, "update": 0.0}

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            answer = call(*arguments, **named)
            spent[part] += time.process_time() - start
            return answer

        return run

    assert model.env is not None
    model.env.step = timed("steps", model.env.step)
    model.collect_rollouts = timed("rollout", model.collect_rollouts)
    model.train = timed("update", model.train)
    model.learn(ENVIRONMENTS * ROLLOUT)
    return spent["rollout"], spent["steps"], spent["update"]


def medians(measures: dict[Any, Callable[[], Any]]) -> dict[Any, list[float]]:
    """Medians of every number that is measured, rounds in turn."""
    found: dict[Any, list[Any]] = {key: [] for key in measures}
    for _ in range(ROUNDS):
        for key, measure in measures.items():
            found[key].append(np.atleast_1d(measure()))
    return {key: [statistics.median(part) for part in zip(*values, strict=True)]
            for key, values in found.items()}  # fmt: skip


def main() -> None:
    """Measure and write the tables."""
    torch.set_num_threads(1)
    speeds = medians({name: single(name) for name in GAMES})
    pools = {name: at_once(name.partition("-")[2]) for name in GAMES if "Procgen" in name}
    together = medians(dict(pools))
    parts = medians({
        (network, layout): lambda pooled=pooled, form=form: ppo(pooled, form)  # type: ignore[misc]
        for network, pooled in NETWORKS.items()
        for layout, form in LAYOUTS.items()
    })  # fmt: skip
    transitions, updates = ENVIRONMENTS * ROLLOUT, EPOCHS * ENVIRONMENTS * ROLLOUT // BATCH
    lines = [
        "# Games",
        "",
        f"Seconds of the processor, medians of {ROUNDS} rounds in turn, one thread. Made by"
        " `python benchmarks/games.py`.",
        "",
        f"| game, random actions | steps a second | {GAMES_AT_ONCE} games in one call of envpool |",
        "|---|---|---|",
        *(
            f"| `offline_prune/{name}-v0` | {speeds[name][0]:,.0f} |"
            f" {f'{together[name][0]:,.0f}' if name in together else ''} |"
            for name in GAMES
        ),
        "",
        f"PPO of Stable-Baselines3 on CoinRun: {transitions:,} transitions of {ENVIRONMENTS}"
        f" environments, {EPOCHS} epochs of mini-batches of {BATCH}.",
        "",
        "| network | memory format | a rollout | of it in environments | a mini-batch"
        " | environment steps a second |",
        "|---|---|---|---|---|---|",
        *(
            f"| {network} | {layout} | {rollout:.1f} s | {steps:.2f} s |"
            f" {1000 * update / updates:,.0f} ms | {transitions / (rollout + update):.0f} |"
            for (network, layout), (rollout, steps, update) in parts.items()
        ),
    ]
    with written_aside(RESULTS) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
