"""Small algorithms of tianshou, trained for a moment."""

import gymnasium
import numpy as np
import torch
from tianshou.algorithm import C51, DQN, QRDQN, RainbowDQN
from tianshou.algorithm.modelfree.c51 import C51Policy
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.modelfree.qrdqn import QRDQNPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.env.atari.atari_network import RainbowNet
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.discrete import NoisyLinear

ATOMS = 11
KINDS = ("dqn", "c51", "qrdqn", "rainbow")
"""Rainbow is dueling and noisy."""


class Images(gymnasium.Env):
    """Images of noise; one action is right."""

    observation_space = gymnasium.spaces.Box(0, 1, (1, 36, 36), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def _image(self):
        return self.np_random.random((1, 36, 36), dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._image(), {}

    def step(self, action):
        return self._image(), float(action), bool(self.np_random.random() < 0.1), False, {}


def algorithm_of(kind, images=False):
    torch.manual_seed(0)
    env = Images() if images else gymnasium.make("CartPole-v1")
    spaces = {"action_space": env.action_space, "observation_space": env.observation_space}
    common = {"optim": AdamOptimizerFactory(), "target_update_freq": 10}
    if images:
        net = RainbowNet(c=1, h=36, w=36, action_shape=[2], num_atoms=ATOMS)
        policy = C51Policy(model=net, num_atoms=ATOMS, **spaces)
        return RainbowDQN(policy=policy, **common)
    shape = {"state_shape": env.observation_space.shape, "action_shape": env.action_space.n}
    shape |= {"hidden_sizes": [24, 16]}
    if kind == "dqn":
        return DQN(policy=DiscreteQLearningPolicy(model=Net(**shape), **spaces), **common)
    if kind == "qrdqn":
        policy = QRDQNPolicy(model=Net(**shape, num_atoms=ATOMS), **spaces)
        return QRDQN(policy=policy, num_quantiles=ATOMS, **common)
    extra = {"softmax": True, "num_atoms": ATOMS}
    if kind == "rainbow":
        noisy = {"hidden_sizes": [8], "linear_layer": NoisyLinear}
        extra |= {"dueling_param": (noisy, noisy)}
    policy = C51Policy(model=Net(**shape, **extra), num_atoms=ATOMS, v_max=50.0, **spaces)
    return (RainbowDQN if kind == "rainbow" else C51)(policy=policy, **common)


def collected(algorithm, images=False):
    """A collector with 128 steps in its buffer."""
    make = Images if images else lambda: gymnasium.make("CartPole-v1")
    envs = DummyVectorEnv([make])
    envs.seed(0)
    collector = Collector(algorithm, envs, VectorReplayBuffer(512, 1))
    torch.manual_seed(1)
    np.random.seed(1)
    collector.reset()
    collector.collect(n_step=128)
    return collector


def train(algorithm, collector, steps):
    """So many gradient steps by tianshou's own trainer."""
    torch.manual_seed(2)
    np.random.seed(2)
    algorithm.run_training(
        OffPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=steps,
            collection_step_num_env_steps=1,
            batch_size=16,
            update_step_num_gradient_steps_per_sample=1.0,
            verbose=False,
            show_progress=False,
        )
    )


def tensors(algorithm):
    """Name → value of everything that is trained, and the optimizer's moments."""
    found = {name: p.detach().clone() for name, p in algorithm.named_parameters()}
    for i, state in algorithm.optim._optim.state_dict()["state"].items():
        found |= {f"{i}.{key}": torch.as_tensor(value).clone() for key, value in state.items()}
    return found
