"""Small worlds of known values, and agents of known policies."""

import dataclasses
import random

import numpy as np
import torch
from d3rlpy.algos import DDPGConfig, DQNConfig
from d3rlpy.dataset import MDPDataset
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.preprocessing import (
    MinMaxActionScaler,
    StandardObservationScaler,
    StandardRewardScaler,
)

from offline_prune.data import load_dataset

GAMMA = 0.9
SEEN = StandardObservationScaler(mean=[125.0, 0.0], std=[17.0, 1.0])
"""Places of the chain lie at 100, 110, … 150; the middle is between the third and fourth."""


def observed(place):
    return np.array([100.0 + 10.0 * place, 0.0], dtype=np.float32)


def step(place, action):
    """One step of the chain: (reward, place or None at an end)."""
    place += 1 if action else -1
    return {-1: 1.0, 6: 3.0}.get(place, 0.0) - 0.5, place if 0 <= place <= 5 else None


def chain(episodes=150, seed=0):
    """Six places in a row, left or right at random; −.5 a step, 1 at the left end, 3 at the right.

    Every episode starts at a random place and ends at an end.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(episodes):
        place = int(rng.integers(6))
        while place is not None:
            action = int(rng.integers(2))
            reward, following = step(place, action)
            rows.append((observed(place), action, reward, following is None))
            place = following
    x, a, r, t = (np.array(column) for column in zip(*rows, strict=True))
    return load_dataset(
        MDPDataset(x, a[:, None], r.astype(np.float32), t.astype(np.float32), action_size=2)
    )


def away_value(place):
    """The value of going away from the middle: left from the first three places, else right."""
    value, factor, action = 0.0, 1.0, int(place > 2)
    while place is not None:
        reward, place = step(place, action)
        value, factor = value + factor * reward, factor * GAMMA
    return value


def away(data, observation_scaler=SEEN, reward_scaler=None):
    """A DQN that goes away from 0, which is the middle of what its scaler shows it."""
    config = DQNConfig(
        gamma=GAMMA,
        observation_scaler=observation_scaler,
        reward_scaler=reward_scaler or StandardRewardScaler(mean=-0.3, std=0.9),
        encoder_factory=VectorEncoderFactory(hidden_units=[2]),
    )
    algo = config.create(device=False)
    algo.build_with_dataset(data.buffer)
    weights = [p for _, p in algo.impl.q_function.named_parameters()]
    with torch.no_grad():  # Q(left) = relu(−x), Q(right) = relu(x)
        weights[0].copy_(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
        weights[2].copy_(torch.eye(2))
        weights[1].zero_()
        weights[3].zero_()
    return algo


def lever(action=1.0, low=-2.0, high=2.0):
    """One place, where the reward of an action in [−2, 2] is the action; episodes are cut off.

    Returns:
        The data, and a DDPG that always takes the given action.
    """
    rng = np.random.default_rng(0)
    n = 400
    actions = rng.uniform(low, high, (n, 1)).astype(np.float32)
    x, terminals, cuts = np.ones((n, 2), np.float32), np.zeros(n), np.zeros(n)
    cuts[4::5] = 1.0
    data = load_dataset(MDPDataset(x, actions, actions[:, 0], terminals, timeouts=cuts))
    scaler = MinMaxActionScaler(minimum=[low], maximum=[high])
    config = DDPGConfig(
        gamma=0.5,
        action_scaler=scaler,
        actor_encoder_factory=VectorEncoderFactory(hidden_units=[2]),
        critic_encoder_factory=VectorEncoderFactory(hidden_units=[2]),
    )
    algo = config.create(device=False)
    algo.build_with_dataset(data.buffer)
    with torch.no_grad():
        *_, weight, bias = algo.impl.policy.parameters()
        weight.zero_()
        bias.fill_(float(np.arctanh(scaler.transform_numpy(np.array([[action]]))[0, 0])))
    return data, algo


def state(algo):
    """Everything of an agent that a later step depends on, copied."""
    tops = algo.impl.modules.get_torch_modules().items()
    tensors = {
        f"{top}.{name}": value.clone()
        for top, module in tops
        for name, value in module.state_dict().items()
    }
    modes = [m.training for _, top in tops for m in top.modules()]
    gradients = [p.grad for _, top in tops for p in top.parameters()]
    optimizers = [
        wrapper.optim.state_dict()
        for field in dataclasses.fields(algo.impl.modules)
        if hasattr(wrapper := getattr(algo.impl.modules, field.name), "optim")
    ]
    return tensors, modes, gradients, str(optimizers)


def without_drawing(evaluate):
    """What a function returns; it must leave the global random states as it found them."""

    def seed():
        random.seed(1)
        np.random.seed(2)
        torch.manual_seed(3)

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    seed()
    expected = draw()
    seed()
    found = evaluate()
    assert draw() == expected
    return found
