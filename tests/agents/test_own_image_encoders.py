"""An image encoder of a user's own, and what registering its layers brings."""

import dataclasses

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import EncoderFactory
from d3rlpy.models.torch.encoders import Encoder, EncoderWithAction
from torch import nn

from offline_prune import prune_then_train
from offline_prune.agents import build_agent, own_encoders, register_layers
from offline_prune.engines import make_engine
from offline_prune.errors import AlgorithmError
from offline_prune.export import acting_policy
from offline_prune.masks.build import mask_from_kept
from tests.worlds import dataset, in_double_precision, state, take_double_steps

DATA = "pixel-continuous"


def convolutions():
    return nn.Sequential(
        nn.Conv2d(2, 6, 5, stride=3, padding=2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 7, 3, padding=1), nn.Tanh(), nn.AvgPool2d(3, padding=1),
    )  # fmt: skip


class Mine(Encoder):
    def __init__(self):
        super().__init__()
        self.convolutions, self.flatten = convolutions(), nn.Flatten()
        self.last = nn.Sequential(nn.Linear(7 * 4, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU())

    def forward(self, x):
        return self.last(self.flatten(self.convolutions(x)))


class MineWithAction(EncoderWithAction):
    def __init__(self, action_size):
        super().__init__()
        self.convolutions, self.flatten = convolutions(), nn.Flatten()
        self.last = nn.Sequential(nn.Linear(7 * 4 + action_size, 16), nn.ReLU())

    def forward(self, x, action):
        return self.last(torch.cat([self.flatten(self.convolutions(x)), action], dim=1))


@dataclasses.dataclass()
class MineFactory(EncoderFactory):
    def create(self, observation_shape):
        return Mine()

    def create_with_action(self, observation_shape, action_size, discrete_action=False):
        return MineWithAction(action_size)

    @staticmethod
    def get_type():
        return "my_images"


d3rlpy.models.register_encoder_factory(MineFactory)


def layers(encoder):
    return (*encoder.convolutions, encoder.flatten, *encoder.last)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(own_encoders, "_LAYERS", {})
    register_layers(Mine, layers)
    register_layers(MineWithAction, layers)


def built():
    config = d3rlpy.algos.TD3PlusBCConfig(
        batch_size=8,
        actor_encoder_factory=MineFactory(),
        critic_encoder_factory=MineFactory(),
        observation_scaler=d3rlpy.preprocessing.PixelObservationScaler(),
    )
    return build_agent(dataset(DATA), config, seed=1).agent


def test_columns_of_actions_stand_behind_those_of_channels(registered):
    subject = built()
    actor, critic, _ = subject.chains
    assert [stage.repeat for stage in critic.stages] == [1, 1, 4, 1]
    assert not actor.constant_units_fold
    segments = subject.separable[1].graph.weights[2].segments
    assert [(s.layer, s.columns) for s in segments] == [(1, 28), (None, 2)]


def test_its_dead_channels_leave_exactly(registered, double_precision):
    def run(engine):
        subject = in_double_precision(built())
        kept = {n: torch.ones(w.shape, dtype=torch.bool) for n, w in subject.weights.items()}
        for network in subject.separable:
            _, second, last, head = network.layers
            kept[second.name][:, [0, 3]] = False
            kept[last.name][:, 4:12] = False  # channels 1 and 2
            kept[head.name][:, 5:9] = False
        holding = make_engine(engine, subject)
        holding.attach(mask_from_kept(subject, kept))
        forms = {choice.form for choice in holding.forms.values()}
        assert forms == {"dense" if engine == "auto" else "masked"}
        torch.manual_seed(0)
        take_double_steps(subject.algo, DATA)
        holding.verify()
        holding.detach()
        return state(subject.algo)

    expected, found = run("masked"), run("auto")
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-10, rtol=1e-8, check_dtype=False)


def test_unregistered_it_trains_in_its_own_layers(monkeypatch):
    monkeypatch.setattr(own_encoders, "_LAYERS", {})
    subject = built()
    assert subject.chains == subject.separable == ()


@pytest.mark.parametrize("method", ["structured(interval=1)", "synflow(rounds=2)"])
def test_a_whole_run_acts_as_it_is_written(registered, method, tmp_path):
    config = d3rlpy.algos.BCConfig(
        batch_size=8,
        encoder_factory=MineFactory(),
        observation_scaler=d3rlpy.preprocessing.PixelObservationScaler(),
    )
    result = prune_then_train(
        dataset(DATA), config, 0.8, method=method, n_steps=6, evaluate=0, progress=False,
        output_dir=tmp_path / "run",
    )  # fmt: skip
    x = dataset(DATA).frames[:5]
    again = type(result).load(tmp_path / "run")
    np.testing.assert_array_equal(again.algo.predict(x), result.algo.predict(x))
    result.export(tmp_path / "policy.pt", x)  # compares it with the agent
    policy = acting_policy(result.algo)
    channels = [m.out_channels for m in policy.modules() if isinstance(m, nn.Conv2d)]
    assert (channels < [6, 7]) == method.startswith("structured")


def test_layers_in_another_order_are_refused(registered):
    register_layers(Mine, lambda e: (*e.convolutions[:-1], nn.AvgPool2d(3), e.flatten, *e.last))
    with pytest.raises(AlgorithmError, match=r"cannot be applied|do not compute"):
        built()


def test_convolutions_of_groups_are_not_followed(registered, monkeypatch):
    def grouped(self, observation_shape):
        encoder = Mine()
        encoder.convolutions[4] = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        encoder.last[0] = nn.Linear(6 * 4, 16, bias=False)
        return encoder

    monkeypatch.setattr(MineFactory, "create", grouped)
    subject = built()
    followed = [name for chain in subject.chains for name in chain.weight_names]
    assert followed
    assert not any(name.startswith("policy") for name in followed)
