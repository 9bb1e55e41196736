"""Gradual structured pruning of PPO on Procgen: levels that were trained on, and others.

IMPALA and Impoola, dense and pruned by whole channels, on two games.

    python benchmarks/online_procgen.py                # trains what is not there yet
    python benchmarks/online_procgen.py --part 3/8     # every eighth cell from the third on
    python benchmarks/online_procgen.py latency        # times what the policies' files need
    python benchmarks/online_procgen.py report         # writes results/online_procgen.md

A cell takes hours on a core and minutes on a GPU. Records lie in ``results/online_procgen.json``,
trained policies in ``runs/online_procgen``, which git does not keep: their latency is a file of its
own, ``results/online_procgen_latency.json``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from online_cells import RESULTS, Record, records, run_cells, spread
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn

import offline_prune.environments  # noqa: F401 - registers Procgen
from offline_prune import export_policy
from offline_prune.base.atomic import written_aside
from offline_prune.hosts.sb3 import PruningCallback
from offline_prune.hosts.sb3.impala import ImpalaFeatures

STUDY = "online_procgen"
RUNS = Path("runs") / STUDY
LATENCY = f"{STUDY}_latency"
GAMES, ENCODERS, SPARSITIES, SEEDS = ("Starpilot", "Coinrun"), ("impala", "impoola"), (0.0, 0.9), 3
STEPS, LEVELS, EPISODES = 200_000, 200, 100
RANDOM = "random actions"
FILTERS = (16, 32, 32)
ENVIRONMENTS, ROLLOUT, MINI_BATCHES, EPOCHS = 64, 256, 8, 3


def cells() -> list[dict[str, Any]]:
    """All cells, seed by seed; first, for every game, nobody's."""
    nobody = {"encoder": RANDOM, "sparsity": 0.0, "seed": 0, "steps": 0}
    return [{"game": game, **nobody} for game in GAMES] + [
        {"game": game, "encoder": encoder, "sparsity": sparsity, "seed": seed, "steps": STEPS}
        for seed, game, encoder, sparsity in product(range(SEEDS), GAMES, ENCODERS, SPARSITIES)
    ]


def levels(game: str, number: int, seed: int, first: int = 0, n: int = ENVIRONMENTS) -> VecEnv:
    """Environments on ``number`` levels from ``first`` on; 0 are all there are."""
    kwargs = {"num_levels": number, "start_level": first}
    return make_vec_env(f"offline_prune/Procgen-{game}Easy-v0", n, seed=seed, env_kwargs=kwargs)


def policy_arguments(encoder: str) -> dict[str, Any]:
    """Of Stable-Baselines3's policy: one encoder for the actor and the value."""
    return {
        "features_extractor_class": ImpalaFeatures,
        "features_extractor_kwargs": {"filters": FILTERS, "pooled": encoder == "impoola"},
        "net_arch": [],
    }


def name_of(cell: Record) -> str:
    """Of the file of a cell's policy."""
    return "{game}-{encoder}-{sparsity}-{seed}-{steps}.pt".format(**cell)


class Uniform:
    """Acts at random, as ``evaluate_policy`` asks a model."""

    def __init__(self) -> None:
        """Seed it."""
        self._random = np.random.default_rng(0)

    def predict(self, observations: Any, **_: Any) -> tuple[Any, None]:
        """A button for every environment."""
        return self._random.integers(0, 15, len(observations)), None


def play(game: str, seed: int, player: Any) -> dict[str, list[float]]:
    """Returns of an episode each, on levels that were trained on and on others."""
    played = {}
    # Those held out begin where training ends.
    for split, number, first in (("train", LEVELS, 0), ("held out", 1_000_000, LEVELS)):
        environments = levels(game, number, 10_000 + seed, first, EPISODES)
        returns, _ = evaluate_policy(
            player, environments, EPISODES, deterministic=False, return_episode_rewards=True
        )
        played[split] = [float(value) for value in returns]
    return played


def run(game: str, encoder: str, sparsity: float, seed: int, steps: int) -> dict[str, Any]:
    """Train one agent with the hyperparameters of Procgen's authors, and let it play."""
    if not steps:
        return {"returns": play(game, seed, Uniform()), "device": "CPU"}
    torch.set_num_threads(1)
    # Rewards by their returns' deviation, as in the authors' code; observations as they are.
    environment = VecNormalize(levels(game, LEVELS, seed), norm_obs=False, gamma=0.999)
    model = PPO(
        "CnnPolicy", environment, learning_rate=5e-4, n_steps=ROLLOUT, n_epochs=EPOCHS,
        batch_size=ENVIRONMENTS * ROLLOUT // MINI_BATCHES, gamma=0.999, gae_lambda=0.95,
        ent_coef=0.01, policy_kwargs=policy_arguments(encoder), seed=seed,
    )  # fmt: skip
    model.policy.to(memory_format=torch.channels_last)
    callback = PruningCallback("structured", sparsity, engine="compact") if sparsity else None
    begun = time.perf_counter()
    model.learn(steps, callback=callback)
    seconds = time.perf_counter() - begun
    RUNS.mkdir(parents=True, exist_ok=True)
    record = {"game": game, "encoder": encoder, "sparsity": sparsity, "seed": seed, "steps": steps}
    with written_aside(RUNS / name_of(record)) as aside:
        model.policy.save(aside)
    weights = [m.weight for m in model.policy.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return {
        "returns": play(game, seed, model),
        "weights": sum(int(weight.count_nonzero()) for weight in weights),
        "of": sum(weight.numel() for weight in weights),
        "seconds": round(seconds),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }


def latency(**cell: Any) -> dict[str, Any]:
    """Time a cell's exported policy: µs of an action and of 256, one thread."""
    from inference import c_timer, medians, onnx_timer

    torch.set_num_threads(1)
    images = np.random.default_rng(0).integers(0, 256, (256, 3, 64, 64), dtype=np.uint8)
    rows = images.astype(np.float32)
    policy = ActorCriticCnnPolicy.load(RUNS / name_of(cell), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("policy.onnx", "policy.c")]
        for file in files:
            export_policy(policy, file, images)
        timers = [onnx_timer(files[0], rows), c_timer(Path(folder), rows, discrete=True)]
        times = {str(batch): medians(timers, batch) for batch in (1, 256)}
        return {"µs of ONNX and C": times, "bytes": [file.stat().st_size for file in files]}


def report() -> None:
    """Write the table."""
    found = [record for record in records(STUDY) if record["steps"] in (0, STEPS)]
    timed = records(LATENCY)
    rows = []
    kinds = [(RANDOM, 0.0), *product(ENCODERS, SPARSITIES)]
    for game, (encoder, sparsity) in product(GAMES, kinds):
        key = {"game": game, "encoder": encoder, "sparsity": sparsity}
        own, times = (
            [r for r in source if all(r[k] == v for k, v in key.items())]
            for source in (found, timed)
        )
        returns = [
            spread(float(np.mean(r["returns"][split])) for r in own)
            for split in ("train", "held out")
        ]
        kept = [r["weights"] for r in own if r["steps"]]
        weights = f"{np.mean(kept):,.0f}" if kept else "–"
        taken = [
            f"{np.mean([r['µs of ONNX and C'][batch][which] for r in times]):,.0f}"
            if times
            else "–"
            for which in (0, 1)
            for batch in ("1", "256")
        ]
        name = f"structured {sparsity:.0%}" if sparsity else "" if encoder == RANDOM else "dense"
        rows.append(f"| {game} | {encoder} | {name} | {weights} | {' | '.join(returns + taken)} |")
    device = ", ".join(sorted({record["device"] for record in found if record["steps"]}))
    text = f"""# Gradual structured pruning of PPO on Procgen

PPO of Stable-Baselines3, {STEPS:,} environment steps ({device}) with the hyperparameters of
Procgen's authors, {LEVELS} levels of the easy mode; the encoder with {FILTERS} filters, half the
paper's. `structured` goes from dense to the sparsity between 20 and 80 % of the run. Returns:
{EPISODES} episodes with sampled actions on the levels trained on and on others; mean ± standard
deviation over seeds (number of seeds in brackets). µs: the exported policy, one action and 256 at
once, one thread of a CPU. Made by `python benchmarks/online_procgen.py report`.

Procgen's own budget is many times this one: what is here is the beginning of a curve, and no check
of what the paper claims for its end.

| game | encoder | | weights | training levels | held out | ONNX, 1 | ONNX, 256 | C, 1 | C, 256 |
|---|---|---|---|---|---|---|---|---|---|
""" + "\n".join(rows) + "\n"  # fmt: skip
    with written_aside(RESULTS / f"{STUDY}.md") as aside:
        aside.write_text(text)


def main() -> None:
    """Train, time or report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="train", choices=("train", "latency", "report"))
    parser.add_argument("--part", default="0/1", help="which/of how many parts, from 0")
    arguments = parser.parse_args()
    if arguments.what == "train":
        which, parts = map(int, arguments.part.split("/"))
        run_cells(STUDY, cells()[which::parts], run)
    elif arguments.what == "latency":
        trained = [cell for cell in cells() if (RUNS / name_of(cell)).exists()]
        run_cells(LATENCY, trained, latency)
    else:
        report()


if __name__ == "__main__":
    main()
