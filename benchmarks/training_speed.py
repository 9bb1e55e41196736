"""Gradient steps against stock d3rlpy, interleaved in one process.

python benchmarks/training_speed.py [--device cuda] [--rounds 5] [--seconds 1.5]

On the CPU it writes ``results/training_speed.md``. On a GPU it writes
``results/training_speed_cuda.md``, absolute times only. Further networks and algorithms are in
``training_speed_further.py``, other libraries in ``training_speed_peers.py``.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from d3rlpy.dataset import InfiniteBuffer, MDPDataset, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models import VectorEncoderFactory
from scipy.stats import gmean

from offline_prune import Dataset, load_dataset, prune
from offline_prune.agents.build import d3rlpy_config_class
from offline_prune.base.atomic import written_aside
from offline_prune.masks.mask import Mask

RESULTS = Path(__file__).parent / "results"
DATASET, BATCH_SIZE, ROUNDS = "halfcheetah/medium-small-v0", 256, 5
CONTINUOUS = ("bc", "iql", "td3_plus_bc", "cql", "bcq")
DISCRETE = "discrete_cql"
SPARSITIES, WIDE_SPARSITIES = (0.0, 0.9, 0.95, 0.98, 0.99), (0.95, 0.98)
SECONDS = 1.5
"""Every contender trains for about this long a round, at least two steps."""


@dataclass(frozen=True)
class Row:
    """One algorithm's milliseconds a gradient step.

    Attributes:
        algo: The algorithm.
        stock: d3rlpy's own ``fit`` on its own buffer.
        ours: Sparsity → this package, ``engine="auto"``.
    """

    algo: str
    stock: float
    ours: dict[float, float]


def random_cartpole(n_steps: int = 20_000) -> MDPDataset:
    """A discrete dataset: CartPole under a random policy."""
    env = gymnasium.make("CartPole-v1")
    env.action_space.seed(0)
    observations, actions, rewards, terminals = [], [], [], []
    observation, _ = env.reset(seed=0)
    for _ in range(n_steps):
        action = env.action_space.sample()
        observations.append(observation)
        actions.append([action])
        observation, reward, terminated, truncated, _ = env.step(action)
        rewards.append(reward)
        terminals.append(float(terminated or truncated))
        if terminated or truncated:
            observation, _ = env.reset()
    terminals[-1] = 1.0
    return MDPDataset(
        np.asarray(observations, dtype=np.float32),
        np.asarray(actions),
        np.asarray(rewards, dtype=np.float32),
        np.asarray(terminals, dtype=np.float32),
    )


def noise_images(shape: tuple[int, int, int]) -> Dataset:
    """Random images and actions: what is measured looks at shapes alone."""
    rng = np.random.default_rng(0)
    steps = 256
    ends = np.zeros(steps)
    ends[63::64] = 1.0
    return load_dataset(
        MDPDataset(
            rng.integers(0, 256, (steps, *shape), dtype=np.uint8),
            rng.integers(0, 6, steps),
            rng.standard_normal(steps).astype(np.float32),
            ends,
        )
    )


def config_of(algo: str, width: int, encoder: Any = None, **params: Any) -> Any:
    """d3rlpy's default hyperparameters with hidden layers of a width, or with another encoder."""
    config_class: Any = d3rlpy_config_class(algo)
    encoder = encoder or VectorEncoderFactory([width, width])
    names = {f.name for f in dataclasses.fields(config_class)}
    encoders = {name: encoder for name in names if name.endswith("encoder_factory")}
    return config_class(**{"batch_size": BATCH_SIZE, **encoders, **params})


def training(algo: Any, buffer: Any, device: str) -> Callable[[int], float]:
    """A function of a number of steps: milliseconds a step of ``fit``."""

    def train(n_steps: int) -> float:
        start = time.perf_counter()
        algo.fit(
            buffer,
            n_steps=n_steps,
            n_steps_per_epoch=n_steps,
            logger_adapter=NoopAdapterFactory(),
            show_progress=False,
        )
        if device != "cpu":
            torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - start) / n_steps

    return train


def in_turn(
    contenders: Mapping[str, Callable[[int], float]],
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> dict[str, float]:
    """Name → median milliseconds a step, of rounds in which all train in turn."""
    steps: dict[str, int] = {}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for name, train in contenders.items():
        train(2)  # compiles kernels, builds optimizer states
        steps[name] = max(2, round(1e3 * seconds / train(2)))
    order = list(contenders)
    for i in range(rounds):  # each round begins with another one
        first = i % len(order)
        for name in order[first:] + order[:first]:
            times[name].append(contenders[name](steps[name]))
    return {name: float(np.median(found)) for name, found in times.items()}


def stock_and_ours(
    config: Any,
    data: Dataset,
    sparsities: tuple[float, ...],
    device: str = "cpu",
    mask_of: Callable[[Any, Dataset, float], Mask] | None = None,
    **options: Any,
) -> dict[str, Callable[[int], float]]:
    """``"stock"`` and every sparsity → how it trains; options are those of ``prune``.

    ``mask_of`` makes the mask of a sparsity, where no method of ``prune`` does.
    """
    stock = config.create(device=f"{device}:0")
    stock_buffer = ReplayBuffer(InfiniteBuffer(), episodes=data.buffer.episodes)
    stock.build_with_dataset(stock_buffer)
    contenders = {"stock": training(stock, stock_buffer, device)}
    # Longer steps would cost two operations on a vector.
    options = {"n_batches": 1, "parameterization": "standard", "device": device, **options}
    for sparsity in sparsities:
        if mask_of is None:
            agent, _ = prune(data, config, sparsity, **options)
        else:
            mask = mask_of(config, data, sparsity)
            asked = {role: mask[role].sparsity for role in mask}
            agent, _ = prune(data, config, asked, method=mask, **options)
        contenders[str(sparsity)] = training(agent.algo, data.buffer, device)
    return contenders


def row_of(algo: str, medians: Mapping[str, float]) -> Row:
    """The row of an algorithm from medians of :func:`stock_and_ours`."""
    ours = {float(name): value for name, value in medians.items() if name != "stock"}
    return Row(algo, medians["stock"], ours)


def measure(
    algo: str,
    width: int,
    data: Dataset,
    sparsities: tuple[float, ...],
    device: str,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> Row:
    """Let stock and pruned agents train in turn, a round each."""
    contenders = stock_and_ours(config_of(algo, width), data, sparsities, device)
    return row_of(algo, in_turn(contenders, rounds, seconds))


def ratio_table(title: str, rows: list[Row], of_all: list[Row]) -> list[str]:
    """A Markdown table of times and ratios, with geometric mean and worst of some rows."""
    sparsities = list(rows[0].ours)
    lines = [
        f"## {title}",
        "",
        "| algorithm | stock, ms | " + " | ".join(f"{s:.0%}" for s in sparsities) + " |",
        "|---|---|" + "---|" * len(sparsities),
    ]
    for row in rows:
        cells = [f"{t:.2f} ({row.stock / t:.1f}×)" for t in row.ours.values()]
        lines.append(f"| {row.algo} | {row.stock:.2f} | {' | '.join(cells)} |")
    for name, summary in (("geometric mean", gmean), ("worst", min)):
        ratios = [summary([row.stock / row.ours[s] for row in of_all]) for s in sparsities]
        lines.append(f"| **{name}** | | " + " | ".join(f"**{r:.2f}×**" for r in ratios) + " |")
    return [*lines, ""]


def wide_table(wide: list[Row], narrow: list[Row]) -> list[str]:
    """Is a wide and sparse agent as quick as stock d3rlpy's dense 256-256 one?"""
    pairs = [(w, n) for w in wide for n in narrow if w.algo == n.algo]
    return [
        "## Wide and sparse against narrow and dense, one thread",
        "",
        "| algorithm | stock, dense 256-256, ms | 1024-1024 at 95 %, ms | ratio |",
        "|---|---|---|---|",
        *(
            f"| {w.algo} | {n.stock:.2f} | {w.ours[0.95]:.2f} | {n.stock / w.ours[0.95]:.1f}× |"
            for w, n in pairs
        ),
        "",
    ]


def conditions(rounds: int) -> list[str]:
    """How the times of the CPU were taken: the middle of a page's first paragraph."""
    return [
        f"Medians of {rounds} rounds taken in turn. torch {torch.__version__},",
        f"{torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores. Made by `make bench`.",
    ]


def on_cpu(data: Dataset, discrete: Dataset, rounds: int) -> list[str]:
    """Every table of the CPU."""
    lines = [
        "# Training speed",
        "",
        "Milliseconds a gradient step of d3rlpy's `fit` on its own buffer (stock), and of this",
        'package with SNIP masks and `engine="auto"`; in brackets the ratio, stock over ours.',
        f"d3rlpy's default hyperparameters, batch {BATCH_SIZE}, `{DATASET}` (discrete: CartPole).",
        *conditions(rounds),
        "",
    ]
    narrow: list[Row] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rows = []
        for algo in (*CONTINUOUS, DISCRETE):
            source = discrete if algo == DISCRETE else data
            rows.append(measure(algo, 256, source, SPARSITIES, "cpu", rounds))
            print(threads, rows[-1], flush=True)
        narrow = narrow or rows[: len(CONTINUOUS)]
        plural = "one thread" if threads == 1 else f"{threads} threads"
        title = f"256-256, {plural} (mean and worst of the five continuous)"
        lines += ratio_table(title, rows, rows[: len(CONTINUOUS)])
    torch.set_num_threads(1)
    wide = []
    for algo in CONTINUOUS:
        wide.append(measure(algo, 1024, data, WIDE_SPARSITIES, "cpu", rounds))
        print("wide", wide[-1], flush=True)
    lines += ratio_table("1024-1024, one thread", wide, wide)
    return [*lines, *wide_table(wide, narrow)]


def on_gpu(data: Dataset, discrete: Dataset, rounds: int, seconds: float) -> list[str]:
    """Absolute times on a GPU."""
    lines = [
        "# Training speed on a GPU",
        "",
        f"Milliseconds a gradient step, {torch.cuda.get_device_name()}, torch {torch.__version__};",
        f"medians of {rounds} rounds of {seconds} seconds, else as in",
        "[training_speed.md](training_speed.md). Made by",
        "`python benchmarks/training_speed.py --device cuda`.",
        "",
    ]
    for width in (256, 1024):
        taken = ("cuda", rounds, seconds)
        rows = [measure(algo, width, data, SPARSITIES, *taken) for algo in CONTINUOUS]
        if width == 256:
            rows.append(measure(DISCRETE, width, discrete, SPARSITIES, *taken))
        print(width, rows, flush=True)
        lines += ratio_table(f"{width}-{width}", rows, rows)
    return lines


def rounds_option(description: str | None) -> argparse.ArgumentParser:
    """A command line with the option ``--rounds``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="medians of how many rounds")
    return parser


def rows_option(description: str | None, names: Iterable[str]) -> argparse.ArgumentParser:
    """The same with ``--only``, for a page of rows that can be measured one by one."""
    parser = rounds_option(description)
    parser.add_argument("--only", nargs="+", choices=names, help="print only these rows")
    return parser


def write_whole_page(name: str, lines: list[str], only: Sequence[str] | None) -> None:
    """Write a page of ``results``, or print it where some of its rows alone were measured."""
    if only:
        print("\n".join(lines))
    else:
        write_page(name, lines)


def write_page(name: str, lines: list[str]) -> None:
    """Write a page of ``results``."""
    with written_aside(RESULTS / name) as aside:
        aside.write_text("\n".join(lines).rstrip() + "\n")


def main() -> None:
    """Measure and write the tables."""
    parser = rounds_option(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a round, on a GPU")
    arguments = parser.parse_args()
    data, discrete = load_dataset(DATASET), load_dataset(random_cartpole())
    if arguments.device == "cpu":
        write_page("training_speed.md", on_cpu(data, discrete, arguments.rounds))
    else:
        write_page(
            "training_speed_cuda.md", on_gpu(data, discrete, arguments.rounds, arguments.seconds)
        )


if __name__ == "__main__":
    main()
