"""An encoder of a user's own, and what registering its layers brings."""

import dataclasses

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import EncoderFactory
from d3rlpy.models.torch.encoders import Encoder, EncoderWithAction
from torch import nn

from offline_prune import prune, prune_then_train
from offline_prune.agents import own_encoders, register_layers
from offline_prune.engines.sparse_mlp import SparseMLP
from offline_prune.errors import AlgorithmError, InputError
from tests.worlds import dataset

DATA = "vector-continuous"


class Mine(Encoder):
    def __init__(self, size, units=24):
        super().__init__()
        self.one, self.two = nn.Linear(size, units), nn.Linear(units, units)
        self.norm = nn.LayerNorm(units)

    def forward(self, x):
        return self.norm(torch.tanh(self.two(torch.relu(self.one(x)))))


class MineWithAction(EncoderWithAction):
    def __init__(self, size):
        super().__init__()
        self.one, self.two = nn.Linear(size, 24), nn.Linear(24, 24)
        self.activation = nn.ReLU()

    def forward(self, x, action):
        h = self.activation(self.one(torch.cat([x, action], dim=1)))
        return self.activation(self.two(h))


@dataclasses.dataclass()
class MineFactory(EncoderFactory):
    def create(self, observation_shape):
        return Mine(observation_shape[0])

    def create_with_action(self, observation_shape, action_size, discrete_action=False):
        return MineWithAction(observation_shape[0] + action_size)

    @staticmethod
    def get_type():
        return "mine"


d3rlpy.models.register_encoder_factory(MineFactory)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(own_encoders, "_LAYERS", {})
    register_layers(Mine, lambda e: (e.one, nn.ReLU(), e.two, nn.Tanh(), e.norm))
    register_layers(MineWithAction, lambda e: (e.one, e.activation, e.two, e.activation))


def agent(engine="auto", sparsity=0.8):
    config = d3rlpy.algos.TD3PlusBCConfig(
        batch_size=16, actor_encoder_factory=MineFactory(), critic_encoder_factory=MineFactory()
    )
    return prune(
        dataset(DATA), config, sparsity, method="random", engine=engine, seed=3,
        parameterization="standard",
    )  # fmt: skip


def train(subject):
    for i in range(20):
        torch.manual_seed(i)
        subject.algo.update(dataset(DATA).buffer.batch_at(np.arange(i, i + 16)))
    subject.finish()
    return subject.weights


def test_unregistered_it_trains_in_its_own_layers():
    subject, mask = agent()
    assert {choice.form for choice in subject.engine.forms.values()} == {"masked"}
    assert mask["critic[0]"].effective_sparsity is None


def test_registered_it_trains_sparse_and_the_same(registered):
    subject, mask = agent()
    assert {str(choice) for choice in subject.engine.forms.values()} == {"sparse"}
    assert isinstance(subject.algo.impl.modules.policy._encoder, SparseMLP)
    assert mask["critic[0]"].effective_sparsity > 0.8
    found = train(subject)
    expected = train(agent("masked")[0])
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=1e-3)


def test_a_whole_run_saves_and_loads(registered, tmp_path):
    config = d3rlpy.algos.BCConfig(batch_size=16, encoder_factory=MineFactory())
    result = prune_then_train(
        dataset(DATA), config, 0.9, n_steps=4, evaluate=0, progress=False, output_dir=tmp_path / "r"
    )
    assert result.trained_as == {"actor": "sparse"}
    again = type(result).load(tmp_path / "r")
    x = dataset(DATA).frames[:5]
    np.testing.assert_array_equal(again.algo.predict(x), result.algo.predict(x))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (lambda e: (e.one, nn.ReLU(), e.two, e.norm), "do not compute"),
        (lambda e: (e.two, e.one), "cannot be applied"),
        (lambda e: (e.norm,), "no linear layer"),
        (lambda e: e.missing, "missing"),
    ],
)
def test_layers_that_are_not_what_it_computes_are_refused(registered, layers, message):
    register_layers(Mine, layers)
    with pytest.raises(AlgorithmError, match=message):
        agent()


def test_a_layer_that_is_applied_twice_is_refused(registered, monkeypatch):
    """Its units would be those of two layers."""
    again = Mine.forward
    monkeypatch.setattr(Mine, "forward", lambda self, x: torch.tanh(self.two(again(self, x))))
    register_layers(Mine, lambda e: (e.one, nn.ReLU(), e.two, nn.Tanh(), e.norm, e.two, nn.Tanh()))
    with pytest.raises(AlgorithmError, match="more than once"):
        agent()


@pytest.mark.parametrize("wrong", [(Mine, None), (3, list), (dict, list)])
def test_what_cannot_be_registered(wrong):
    with pytest.raises(InputError, match="register_layers"):
        register_layers(*wrong)
