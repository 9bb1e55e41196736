"""Small fixed datasets of every kind, and the algorithms that train on each."""

import dataclasses
import functools

import numpy as np
import torch
from d3rlpy.algos import GreedyTransformerActionSampler
from d3rlpy.dataset import MDPDataset
from d3rlpy.models import PixelEncoderFactory
from d3rlpy.torch_utility import TorchMiniBatch

from offline_prune.agents import build_agent
from offline_prune.data import Dataset, load_dataset

CONTINUOUS = ("bc", "td3_plus_bc", "iql", "cql", "bcq")
DISCRETE = ("bc", "bcq", "cql")
KINDS = {
    "vector-continuous": CONTINUOUS,
    "vector-discrete": DISCRETE,
    "pixel-continuous": CONTINUOUS,
    "pixel-discrete": DISCRETE,
}
CASES = [(kind, algo) for kind, algos in KINDS.items() for algo in algos]
# What users bring besides; on vectors alone, their images are read as those of the others.
FURTHER = [
    *(("vector-continuous", algo) for algo in (
        "awac", "bear", "cal_ql", "crr", "ddpg", "plas", "plas_with_perturbation", "rebrac",
        "sac", "td3")),
    *(("vector-discrete", algo) for algo in ("double_dqn", "dqn", "nfq", "sac")),
]  # fmt: skip
# Trained on stretches of trajectories.
SEQUENCES = [
    ("vector-continuous", "decision_transformer"),
    ("vector-discrete", "decision_transformer"),
    ("vector-continuous", "tacr"),
]

# Small networks and few sampled actions: the tests are about exactness, not learning.
# The layers of d3rlpy's own image encoder with a quarter of its channels and fewer units.
PIXELS = PixelEncoderFactory(filters=[[8, 8, 4], [16, 4, 2], [16, 3, 1]], feature_size=48)
ENCODERS = {"iql": ("actor_", "critic_", "value_"), "td3_plus_bc": ("actor_", "critic_"),
            "cql": ("actor_", "critic_"), "bcq": ("actor_", "critic_", "imitator_"),
            "bc": ("",)}  # fmt: skip
PARAMS = {
    ("vector-continuous", "cql"): {"n_action_samples": 3},
    ("vector-continuous", "bcq"): {"n_action_samples": 5},
    ("vector-continuous", "cal_ql"): {"n_action_samples": 3},
    ("vector-continuous", "bear"): {"n_action_samples": 5, "warmup_steps": 2},
    ("vector-continuous", "plas"): {"warmup_steps": 2},
    ("vector-continuous", "plas_with_perturbation"): {"warmup_steps": 2},
    **{case: {"context_size": 5, "num_layers": 2} for case in SEQUENCES},
    ("pixel-continuous", "cql"): {"n_action_samples": 2},
    ("pixel-continuous", "bcq"): {"n_action_samples": 2},
}


# Methods in rounds, with few of them.
ROUNDS = {"synflow": "synflow(rounds=3)", "px": "px(rounds=3)",
          "snip_flow": "snip_flow(rounds=3)", "force": "force(rounds=2)",
          "iterative_snip": "iterative_snip(rounds=2)"}  # fmt: skip


@functools.cache
def source(kind: str) -> MDPDataset:
    """A d3rlpy dataset of 8 terminated episodes of 12 steps."""
    rng = np.random.default_rng(0)
    shape, actions = kind.split("-")
    n, episodes = 96, 8
    if shape == "pixel":
        observations = rng.integers(0, 256, (n, 2, 36, 36)).astype(np.uint8)
    else:
        observations = rng.normal(size=(n, 5)).astype(np.float32)
    if actions == "discrete":
        taken = rng.integers(0, 3, (n, 1))
        taken[:3, 0] = range(3)
    else:
        taken = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    terminals = np.zeros(n, dtype=np.float32)
    terminals[n // episodes - 1 :: n // episodes] = 1.0
    rewards = rng.normal(size=n).astype(np.float32)
    return MDPDataset(observations, taken, rewards, terminals)


@functools.cache
def long_dataset() -> Dataset:
    """2 000 transitions of noise: every mini-batch of 256 is another part."""
    rng = np.random.default_rng(0)
    n = 2_000
    terminals = np.zeros(n, dtype=np.float32)
    terminals[99::100] = 1.0
    return load_dataset(
        MDPDataset(
            rng.normal(size=(n, 5)).astype(np.float32),
            rng.uniform(-1, 1, (n, 2)).astype(np.float32),
            rng.normal(size=n).astype(np.float32),
            terminals,
        )
    )


@functools.cache
def dataset(kind: str) -> Dataset:
    """The same, loaded by this package."""
    return load_dataset(source(kind))


def params(kind: str, algo: str, *, whole: bool = False) -> dict:
    """Hyperparameters that keep the tests quick; ``whole`` image encoders are d3rlpy's own."""
    chosen = {"batch_size": 16, **PARAMS.get((kind, algo), {})}
    if kind.startswith("pixel"):
        which = ENCODERS[algo] if kind == "pixel-continuous" else ("",)
        encoders = {} if whole else {f"{network}encoder_factory": PIXELS for network in which}
        return {**chosen, **encoders, "observation_scaler": "pixel"}
    return {**chosen, "hidden_units": [24, 24]}


def agent(kind: str, algo: str, seed: int = 0, *, whole: bool = False):
    """A built agent of a case."""
    chosen = params(kind, algo, whole=whole)
    return build_agent(dataset(kind), algo, algo_params=chosen, seed=seed).agent


def batch(kind: str, algo: str, size: int = 16):
    """A mini-batch as d3rlpy draws it for ``update``."""
    buffer = dataset(kind).buffer
    if (kind, algo) in SEQUENCES:
        return buffer.sample_trajectory_batch(size, 5)
    return buffer.sample_transition_batch(size)


def actions(algo, kind: str):
    """What an algorithm does on four observations; of a sequence model four in a row."""
    x = dataset(kind).buffer.batch_at(np.arange(4)).observations
    torch.manual_seed(0)
    if not hasattr(algo, "as_stateful_wrapper"):
        return algo.predict(x)
    greedy = None if kind.endswith("continuous") else GreedyTransformerActionSampler()
    actor = algo.as_stateful_wrapper(3.0, greedy)
    return np.stack([actor.predict(row, 0.5) for row in x])


def within_budget(mask, sparsity: float) -> bool:
    """Whether every network keeps at most ``round(N (1 − s))``, as methods of whole units do."""
    return all(mask[r].n_kept <= round(mask[r].n_weights * (1.0 - sparsity)) for r in mask)


def state(algo):
    """Every tensor of an algorithm: weights, targets, optimizer moments."""
    found = {}
    for field, value in vars(algo.impl.modules).items():
        if isinstance(value, torch.nn.Module):
            found |= {f"{field}.{n}": t for n, t in value.state_dict().items()}
        elif hasattr(value, "optim"):
            for i, moments in value.optim.state_dict()["state"].items():
                found |= {f"{field}.{i}.{n}": t for n, t in moments.items()}
    return found


def in_double_precision(subject):
    """The agent, all of whose numbers are doubles from now on."""
    for module in subject.algo.impl.modules.get_torch_modules().values():
        module.double()
    return subject


def take_double_steps(algo, kind, n_steps=10):
    """Gradient steps of an algorithm in double precision."""
    for step in range(n_steps):
        drawn = TorchMiniBatch.from_batch(
            dataset(kind).buffer.sample_transition_batch(8),
            gamma=algo.gamma,
            compute_returns_to_go=False,
            device="cpu:0",
            observation_scaler=algo.observation_scaler,
        )
        tensors = {n: t.double() for n, t in vars(drawn).items() if torch.is_tensor(t)}
        algo.impl.update(dataclasses.replace(drawn, **tensors), step)
