"""An encoder a part of a Dict or Tuple of observations."""

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.models import PixelEncoderFactory, SimBaEncoderFactory, VectorEncoderFactory
from d3rlpy.models.torch.encoders import Encoder, EncoderWithAction
from gymnasium import spaces

from offline_prune.agents import build_agent
from offline_prune.data import ObservationLayout
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from offline_prune.encoders import (
    ImpalaEncoderFactory,
    PartsEncoderFactory,
    parts_encoder_factory,
)
from offline_prune.errors import InputError, UnknownNameError
from tests import worlds

SMALL = PixelEncoderFactory(filters=[[2, 3, 1]], feature_size=3)
BYTES = {
    "first": (3, 9, 8), "grey": (17, 16), "last": (9, 8, 3), "stack": (2, 9, 8, 3),
}  # fmt: skip
SPACE = spaces.Dict(
    {name: spaces.Box(0, 255, shape, np.uint8) for name, shape in BYTES.items()}
    | {"joints": spaces.Box(-1, 1, (4,), np.float32)}
)
LAYOUT = ObservationLayout.of(SPACE)


def factory(joint=None):
    """Of all kinds of images and a vector, in the layout's order."""
    return PartsEncoderFactory.of(
        LAYOUT, [*[SMALL] * 2, VectorEncoderFactory([5]), *[SMALL] * 2],
        VectorEncoderFactory([6]) if joint is None else joint,
    )  # fmt: skip


def channels_first(name, image):
    moved = {
        "first": lambda x: x,
        "grey": lambda x: x[:, None],
        "last": lambda x: x.transpose(0, 3, 1, 2),
        "stack": lambda x: np.concatenate(x.transpose(1, 0, 4, 2, 3), axis=1),
        "joints": lambda x: x,
    }
    return torch.tensor(moved[name](image).astype("f4"))


def batch(n=7):
    SPACE.seed(0)
    observations = [SPACE.sample() for _ in range(n)]
    together = {key: np.stack([o[key] for o in observations]) for key in SPACE}
    return together, torch.tensor(LAYOUT.flatten(together, n))


def features(encoder, together):
    parts = encoder.parts.encoders
    return torch.cat(
        [part(channels_first(k, together[k])) for part, k in zip(parts, SPACE, strict=True)], dim=1
    )


def test_every_part_is_read_in_its_own_shape():
    torch.manual_seed(0)
    encoder = factory().create((LAYOUT.shape[0],))
    assert isinstance(encoder, Encoder)
    together, flat = batch()
    expected = features(encoder, together)
    assert expected.shape == (7, 4 * 3 + 5)
    torch.testing.assert_close(encoder.parts(flat), expected)
    torch.testing.assert_close(encoder(flat), encoder.joint(expected))
    assert encoder(flat).shape == (7, 6)


@pytest.mark.parametrize("discrete", [False, True])
def test_the_action_is_read_with_all_features(discrete):
    torch.manual_seed(0)
    encoder = factory().create_with_action(LAYOUT.shape, 3, discrete)
    assert isinstance(encoder, EncoderWithAction)
    together, flat = batch(4)
    one_hot = torch.eye(3)[[0, 1, 2, 1]]
    action = torch.tensor([[0], [1], [2], [1]]) if discrete else one_hot
    expected = encoder.joint._layers(torch.cat([features(encoder, together), one_hot], dim=1))
    torch.testing.assert_close(encoder(flat, action), expected)


def test_d3rlpy_saves_and_loads_it(tmp_path):
    config = d3rlpy.algos.IQLConfig(
        actor_encoder_factory=factory(), critic_encoder_factory=factory(),
        value_encoder_factory=factory(SimBaEncoderFactory(8, 8)),
    )  # fmt: skip
    algo = config.create()
    algo.create_impl(LAYOUT.shape, 2)
    x = batch()[1].numpy() / 255
    algo.save_model(tmp_path / "model.pt")
    (tmp_path / "params.json").write_text(
        d3rlpy.base.LearnableConfigWithShape(LAYOUT.shape, 2, config).serialize()
    )
    loaded = d3rlpy.algos.IQL.from_json(str(tmp_path / "params.json"))
    loaded.load_model(tmp_path / "model.pt")
    assert loaded.config == config
    np.testing.assert_array_equal(loaded.predict(x), algo.predict(x))
    assert len(np.unique(algo.predict(x))) == 14


@pytest.mark.parametrize(
    "wrong", [{"shapes": [[4]]}, {"channels_last": []}, {"encoders": [SMALL] * 2}]
)
def test_parts_that_are_others_are_refused(wrong):
    given = {"shapes": [[4], [3, 5, 5]], "channels_last": [False] * 2,
             "encoders": [VectorEncoderFactory(), SMALL]} | wrong  # fmt: skip
    if "encoders" not in wrong:
        with pytest.raises(InputError, match="one of each a part"):
            PartsEncoderFactory(**given).create((79,))
    with pytest.raises(InputError, match=r"shape \(80,\)"):
        PartsEncoderFactory(**given).create((80,))


def dataset(space, discrete=False):
    """Two episodes of noise."""
    rng = np.random.default_rng(0)
    space.seed(0)
    keys = list(space)

    def episode(n=20):
        end = np.arange(n) == n - 1
        actions = rng.integers(0, 3, n) if discrete else rng.uniform(-1, 1, (n, 2)).astype("f4")
        seen = [space.sample() for _ in range(n + 1)]
        return RawEpisode("", {key: np.stack([o[key] for o in seen]) for key in keys}, actions,
                          rng.normal(size=n), end, ~end & False)  # fmt: skip

    actions = spaces.Discrete(3) if discrete else spaces.Box(-1, 1, (2,), np.float32)
    return collect_episodes([episode(), episode()], Origin(None, None, space, actions, 2, 40))


def camera(*shape, dtype=np.uint8, high=255):
    return spaces.Dict(
        camera=spaces.Box(0, high, shape, dtype), joints=spaces.Box(-1, 1, (4,), np.float32)
    )


def encoders(data, algo, **params):
    config = build_agent(data, algo, algo_params={"batch_size": 8, **params}).agent.algo.config
    fields = [n for n in ("encoder_factory", "actor_encoder_factory", "critic_encoder_factory")
              if hasattr(config, n)]  # fmt: skip
    return [getattr(config, name) for name in fields]


def test_an_image_in_a_dict_is_encoded_as_one():
    small, large = dataset(camera(12, 10, 3)), dataset(camera(3, 36, 40))
    (found,) = encoders(small, "bc", hidden_units=[7])
    assert found == PartsEncoderFactory(
        [[12, 10, 3], [4]], [True, False],
        [PixelEncoderFactory(filters=[[16, 3, 1]], feature_size=128), VectorEncoderFactory([64])],
        VectorEncoderFactory([7]),
    )  # fmt: skip
    actor, critic = encoders(large, "iql")
    assert actor == critic
    assert actor.encoders[0] == PixelEncoderFactory()
    assert actor.shapes == [[3, 36, 40], [4]]
    assert actor.joint == VectorEncoderFactory()


def test_who_asks_otherwise_gets_it():
    data = dataset(camera(12, 10, 3))
    assert encoders(data, "bc", encoder="plain", hidden_units=[7]) == [VectorEncoderFactory([7])]
    mine = VectorEncoderFactory([3])
    assert encoders(data, "bc", encoder_factory=mine) == [mine]
    actor, critic = encoders(data, "iql", critic_encoder="layer_norm", actor_hidden_units=[9])
    assert critic.use_layer_norm
    assert actor.joint == VectorEncoderFactory([9])
    actor, critic = encoders(data, "iql", encoder="plain", actor_encoder="parts")
    assert isinstance(actor, PartsEncoderFactory)
    assert isinstance(critic, VectorEncoderFactory)
    vectors = spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Box(-1, 1, (3,)))
    assert not isinstance(encoders(dataset(vectors), "bc")[0], PartsEncoderFactory)
    (found,) = encoders(dataset(vectors), "bc", encoder="parts", parts={"b": [5, 5]})
    assert [e.hidden_units for e in found.encoders] == [[64], [5, 5]]


def test_parts_are_chosen_by_name():
    layout = ObservationLayout.of(camera(12, 10, 3))
    found = parts_encoder_factory(layout, {"camera": "impoola", "joints": "layer_norm"})
    assert found.encoders == [
        ImpalaEncoderFactory(pooled=True), VectorEncoderFactory([64], use_layer_norm=True)
    ]  # fmt: skip
    assert parts_encoder_factory(layout, {"camera": SMALL}).encoders[0] == SMALL
    nested = ObservationLayout.of(spaces.Tuple([camera(12, 10, 3), spaces.Discrete(3)]))
    assert [leaf.name for leaf in nested.leaves] == ["0/camera", "0/joints", "1"]
    assert parts_encoder_factory(nested, {"1": [2]}).shapes == [[12, 10, 3], [4], [3]]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"parts": {"lidar": [4]}}, UnknownNameError, "camera, joints"),
        ({"parts": {"camera": "impalla"}}, UnknownNameError, "impala"),
        ({"parts": {"camera": "nature"}}, InputError, "36×36"),
        ({"parts": {"joints": [0]}}, InputError, r"parts\['joints'\]\[0\]"),
        ({"parts": {"joints": "nature"}}, UnknownNameError, "layer_norm"),
        ({"parts": ["small"]}, InputError, "table of encoders"),
        ({"parts": {}, "encoder": "plain"}, InputError, "encoder='parts'"),
        ({"encoder": "impala"}, InputError, "encoder='parts'"),
        ({"actor_encoder": "impala"}, UnknownNameError, "parts"),
    ],
)
def test_what_is_refused(params, error, message):
    with pytest.raises(error, match=message):
        build_agent(dataset(camera(12, 10, 3)), "iql", algo_params=params)


def test_one_array_has_no_parts():
    with pytest.raises(InputError, match="a Dict or Tuple"):
        build_agent(worlds.dataset("vector-continuous"), "bc", algo_params={"encoder": "parts"})
    with pytest.raises(InputError, match="a Dict or Tuple"):
        build_agent(worlds.dataset("pixel-continuous"), "bc", algo_params={"encoder": "parts"})


@pytest.mark.parametrize("kind", ["standard", "min_max", "pixel", None])
def test_pixels_are_divided_by_255_and_vectors_scaled_as_ever(kind):
    data = dataset(camera(12, 10, 3), discrete=True)
    params = {} if kind is None else {"observation_scaler": kind}
    scaler = build_agent(data, "dqn", algo_params=params).agent.algo.config.observation_scaler
    x = data.observations
    scaled = scaler.transform_numpy(x)
    np.testing.assert_allclose(scaled[:, :360], x[:, :360] / 255, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        scaler.transform(torch.tensor(x)), torch.tensor(scaled, dtype=torch.float32)
    )
    joints = x[:, 360:]
    expected = {
        "standard": (joints - joints.mean(0)) / (joints.std(0) + 1e-3),
        "min_max": (joints - joints.min(0)) / (joints.max(0) - joints.min(0)) * 2 - 1,
    }.get(kind, joints)
    np.testing.assert_allclose(scaled[:, 360:], expected, rtol=1e-5, atol=1e-5)


def test_other_images_are_no_pixels():
    for space in (
        camera(12, 10, 3, dtype=np.float32, high=1),
        camera(12, 10, 3, dtype=bool, high=1),
    ):
        data = dataset(space)
        assert not data.metadata.observation_layout.pixel_columns.any()
        assert isinstance(encoders(data, "bc")[0], PartsEncoderFactory)
