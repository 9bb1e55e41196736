"""The IMPALA encoder, and image encoders by name."""

import json

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models.torch.encoders import Encoder, EncoderWithAction
from d3rlpy.preprocessing import PixelObservationScaler

from offline_prune import prune_then_train
from offline_prune.agents import build_agent
from offline_prune.encoders import ImpalaEncoderFactory, encoder_factory
from offline_prune.errors import InputError, UnknownNameError
from tests import worlds


def _count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def _conv(before, after):
    return 9 * before * after + after


def _by_hand(channels, filters, flat, feature_size):
    total = 0
    for before, after in zip([channels, *filters[:-1]], filters, strict=True):
        total += _conv(before, after) + 4 * _conv(after, after)
    return total + flat * feature_size + feature_size


@pytest.mark.parametrize(
    ("shape", "width", "flat"),
    [((4, 10, 10), 1, 32 * 4), ((4, 10, 10), 3, 96 * 4), ((4, 84, 84), 1, 32 * 121)],
)
def test_parameters_and_shape(shape, width, flat):
    encoder = ImpalaEncoderFactory(width=width).create(shape)
    assert isinstance(encoder, Encoder)
    filters = [16 * width, 32 * width, 32 * width]
    assert _count(encoder) == _by_hand(4, filters, flat, 256)
    features = encoder(torch.rand(3, *shape))
    assert features.shape == (3, 256)
    assert (features >= 0).all()
    assert (features > 0).any()


def test_the_count_of_the_papers_network():
    encoder = ImpalaEncoderFactory().create((4, 84, 84))
    assert _count(encoder.torso) == 592 + 9_280 + 4_640 + 36_992 + 9_248 + 36_992
    assert _count(encoder.last) == 3_872 * 256 + 256
    convolutions = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 15


def test_pooling_leaves_the_linear_layer_one_column_a_channel():
    torch.manual_seed(0)
    flat = ImpalaEncoderFactory(width=2, feature_size=9)
    pooled = ImpalaEncoderFactory(width=2, feature_size=9, pooled=True)
    x = torch.rand(3, 4, 21, 13)
    for shape in [(4, 10, 10), (4, 21, 13)]:
        assert _count(pooled.create(shape)) == _by_hand(4, [32, 64, 64], 64, 9)
    encoder, same = pooled.create((4, 21, 13)), flat.create((4, 21, 13))
    same.torso.load_state_dict(encoder.torso.state_dict())
    channels = same.torso(x).reshape(3, 64, 3 * 2)
    means = channels.sum(dim=2) / 6
    torch.testing.assert_close(encoder(x), torch.relu(encoder.last(means)))
    critic = pooled.create_with_action((4, 21, 13), 2)
    critic.torso.load_state_dict(encoder.torso.state_dict())
    action = torch.rand(3, 2)
    expected = torch.relu(critic.last(torch.cat([means, action], dim=1)))
    torch.testing.assert_close(critic(x, action), expected)


def test_files_from_before_pooling_open():
    factory = ImpalaEncoderFactory(filters=[4, 8], width=2)
    params = json.loads(factory.serialize())
    assert params.pop("pooled") is False
    assert ImpalaEncoderFactory.deserialize(json.dumps(params)) == factory


def test_a_stage_computes_its_formula():
    torch.manual_seed(0)
    encoder = ImpalaEncoderFactory(filters=[3], feature_size=5).create((2, 7, 9))
    weights = encoder.state_dict()
    f = torch.nn.functional

    def conv(x, name):
        return f.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    x = torch.randn(2, 2, 7, 9)
    y = f.max_pool2d(conv(x, "torso.stages.0.convolution"), 3, stride=2, padding=1)
    for block in ("torso.stages.0.blocks.0", "torso.stages.0.blocks.1"):
        y = y + conv(f.relu(conv(f.relu(y), f"{block}.first")), f"{block}.second")
    y = f.relu(y).reshape(2, 3 * 4 * 5)
    y = f.relu(y @ weights["last.weight"].T + weights["last.bias"])
    torch.testing.assert_close(encoder(x), y)


@pytest.mark.parametrize("discrete", [False, True])
def test_the_action_joins_the_flattened_channels(discrete):
    factory = ImpalaEncoderFactory(width=2, feature_size=7)
    encoder = factory.create_with_action((1, 10, 10), 3, discrete)
    assert isinstance(encoder, EncoderWithAction)
    assert _count(encoder) == _by_hand(1, [32, 64, 64], 64 * 4, 7) + 3 * 7
    x = torch.rand(4, 1, 10, 10)
    one_hot = torch.eye(3)[[0, 1, 2, 1]]
    action = torch.tensor([[0], [1], [2], [1]]) if discrete else one_hot
    expected = torch.relu(encoder.last(torch.cat([encoder.torso(x), one_hot], dim=1)))
    torch.testing.assert_close(encoder(x, action), expected)


@pytest.mark.parametrize("pooled", [False, True])
def test_d3rlpy_saves_and_loads_it(pooled, tmp_path):
    torch.manual_seed(0)
    factory = ImpalaEncoderFactory(filters=[4, 8], width=2, feature_size=16, pooled=pooled)
    algo = d3rlpy.algos.DiscreteCQLConfig(
        encoder_factory=factory, observation_scaler=PixelObservationScaler(), batch_size=8
    ).create()
    buffer = worlds.source("pixel-discrete")
    algo.build_with_dataset(buffer)
    algo.update(buffer.sample_transition_batch(8))
    online, target = algo.impl.modules.q_funcs[0], algo.impl.modules.targ_q_funcs[0]
    assert online.state_dict().keys() == target.state_dict().keys()
    algo.save(tmp_path / "agent.d3")
    loaded = d3rlpy.load_learnable(str(tmp_path / "agent.d3"))
    assert loaded.config.encoder_factory == factory
    x = np.random.default_rng(0).integers(0, 256, (5, 2, 36, 36)).astype(np.uint8)
    actions = np.zeros(5, dtype=np.int64)
    np.testing.assert_array_equal(loaded.predict_value(x, actions), algo.predict_value(x, actions))
    assert len(np.unique(algo.predict_value(x, actions))) == 5


def test_what_it_cannot_encode():
    with pytest.raises(InputError, match="images"):
        ImpalaEncoderFactory().create((5,))
    for wrong in ({"width": 0}, {"filters": []}, {"feature_size": 0}):
        with pytest.raises(InputError, match="from 1 on"):
            ImpalaEncoderFactory(**wrong).create((1, 10, 10))


@pytest.mark.parametrize("name", ["impala", "impoola", "nature", "small"])
def test_a_name_sets_every_encoder(name):
    params = {"encoder": name, "encoder_width": 2, "batch_size": 4}
    agent = build_agent(worlds.dataset("pixel-continuous"), "bcq", algo_params=params).agent
    config = agent.algo.config
    factories = [getattr(config, f"{part}_encoder_factory") for part in ("actor", "critic")]
    assert config.imitator_encoder_factory == factories[0] == factories[1]
    if name.startswith("imp"):
        assert factories[0] == ImpalaEncoderFactory(width=2, pooled=name == "impoola")
    else:
        filters = {"nature": [[64, 8, 4], [128, 4, 2], [128, 3, 1]], "small": [[32, 3, 1]]}
        assert factories[0].filters == filters[name]
        assert factories[0].feature_size == {"nature": 512, "small": 128}[name]


def test_names_that_do_not_fit():
    pixels, vectors = worlds.dataset("pixel-discrete"), worlds.dataset("vector-discrete")
    for params, error, message in (
        ({"encoder": "impalla"}, UnknownNameError, "impala"),
        ({"encoder": "impala", "encoder_width": 1.5}, InputError, "encoder_width"),
        ({"encoder_width": 2}, InputError, "name it"),
    ):
        with pytest.raises(error, match=message):
            build_agent(pixels, "cql", algo_params=params)
    with pytest.raises(InputError, match="hidden_units"):
        build_agent(vectors, "cql", algo_params={"encoder": "impala"})
    # 8×8 stride 4, 4×4 stride 2, 3×3: 36 pixels and no less.
    encoder_factory("nature", 1, (4, 36, 40))
    with pytest.raises(InputError, match=r"36×36.*35×40.*'small'"):
        encoder_factory("nature", 1, (4, 35, 40))


def test_a_later_hyperparameter_wins():
    given = d3rlpy.algos.DiscreteCQLConfig(batch_size=4)
    data = worlds.dataset("pixel-discrete")
    agent = build_agent(data, given, algo_params={"encoder": "impala"}).agent
    assert agent.algo.config.encoder_factory == ImpalaEncoderFactory()
    mine = ImpalaEncoderFactory(filters=[2])
    params = {"encoder": "impala", "encoder_factory": mine}
    agent = build_agent(data, "cql", algo_params=params).agent
    assert agent.algo.config.encoder_factory == mine


def test_adam_eps_sets_every_optimizer():
    data = worlds.dataset("vector-continuous")
    params = {"adam_eps": 1e-3, "hidden_units": [4]}
    config = build_agent(data, "iql", algo_params=params).agent.algo.config
    assert config.critic_optim_factory.eps == config.actor_optim_factory.eps == 1e-3
    # The recipe's decay of the actor's learning rate stays.
    assert config.actor_optim_factory.lr_scheduler_factory.get_type() == "cosine_annealing"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["impala", "impoola"])
def test_it_is_pruned_and_trained(name):
    params = {"encoder": name, "batch_size": 8, "observation_scaler": "pixel"}
    result = prune_then_train(
        worlds.dataset("pixel-discrete"),
        "cql",
        0.9,
        n_steps=3,
        algo_params=params,
        engine="masked",
        evaluate=0,
        progress=False,
    )
    encoder = result.algo.impl.modules.q_funcs[0]._encoder
    weights = [m.weight for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert zeros > 0.3 * sum(weight.numel() for weight in weights)
